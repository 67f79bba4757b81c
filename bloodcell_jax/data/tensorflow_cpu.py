"""TensorFlow as `tf`, kept off accelerators: it only feeds the training, whose memory JAX owns."""

import os

# Quiet: its start-up notes about instruction sets say nothing to a user of this package.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import tensorflow as tf

tf.config.set_visible_devices([], 'GPU')

__all__ = ['tf']
