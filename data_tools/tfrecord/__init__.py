"""Reads TFRecord files, their Examples and the folders of TensorFlow Datasets, without TensorFlow."""
