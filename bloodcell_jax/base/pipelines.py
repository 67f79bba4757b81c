"""The values of `data.pipeline`: where training images lie, and what augments them."""

KEY = 'data.pipeline'
TF_DATA = 'tf_data'  # in the memory of the host, by TensorFlow
NUMPY = 'numpy'  # in the memory of the host, not at all
DEVICE = 'device'  # in the memory of every device, as a part of the update
AUTO = 'auto'  # one of these, chosen when a run begins and kept
ALL = (AUTO, TF_DATA, NUMPY, DEVICE)
