"""The study's CNN A (504,228 parameters) at 150x150, with the optimizer named as the variant.

    python main.py --config=configs/cnn_a.py:rmsprop --config.data.source=kaggle --config.data.dir=FOLDER

Variants, as in the study: rmsprop (Keras defaults, the default), adam and sgd (learning rate 1e-4, decay 1e-6).
"""

from ml_collections import config_dict

from configs import cnn_b


def get_config(optimizer: str = 'rmsprop') -> config_dict.ConfigDict:
  """The config of a variant."""
  c = cnn_b.get_config(optimizer)
  c.model.name = 'cnn_a'
  c.model.dropout_rate = 0.2
  return c
