"""TFRecord files, the Examples in them, and what TensorFlow Datasets writes, all without TensorFlow."""
