"""How long TensorFlow takes to parse a CLEVR (with masks) file: seconds by the clock, and of processors.

The file is parsed once before, untimed, since the first time traces the graph, and then as often as is said; the
fastest counts, as of our reader.

python benchmarks/tensorflow_clevr.py FILE REPEATS    with TensorFlow; `python -m benchmarks --tensorflow` runs it
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

FEATURES = {
    "image": tf.io.FixedLenFeature([240, 320, 3], tf.string),
    "mask": tf.io.FixedLenFeature([11, 240, 320, 1], tf.string),
    **{key: tf.io.FixedLenFeature([11], tf.float32) for key in ("x", "y", "z", "visibility")},
    **{key: tf.io.FixedLenFeature([11], tf.string) for key in ("shape", "size", "material", "color")},
}


def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
    """A record as its arrays."""
    scene = tf.io.parse_single_example(record, FEATURES)
    strings = ("image", "mask", "shape", "size", "material", "color")
    return scene | {key: tf.squeeze(tf.io.decode_raw(scene[key], tf.uint8), -1) for key in strings}


def read(scenes: tf.data.Dataset) -> tuple[float, float]:
    """Parse every record once, and return the seconds by the clock and of processors."""
    start = time.perf_counter(), time.process_time()
    for scene in scenes:
        scene["image"].numpy()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    """Print the seconds of the fastest of some repeats by the clock, after one that does not count."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    scenes = tf.data.TFRecordDataset(sys.argv[1], compression_type="GZIP").map(parse)
    read(scenes)
    print(*min(read(scenes) for _ in range(int(sys.argv[2]))))


if __name__ == "__main__":
    main()
