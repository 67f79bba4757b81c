"""The study's CNN B with the study's augmentation: 70 epochs of 180 updates of 20 images.

    python main.py --config=configs/cnn_b_augmented.py --config.data.source=kaggle --config.data.dir=FOLDER

Without real images it trains on the synthetic smears, for far longer than they need.
"""

from ml_collections import config_dict

from configs import cnn_b


def get_config() -> config_dict.ConfigDict:
  """CNN B trained with RMSprop and the study's augmentation."""
  c = cnn_b.get_config('rmsprop')
  c.augment.rotation_range = 10.0
  c.augment.width_shift_range = 0.3
  c.augment.height_shift_range = 0.3
  c.augment.shear_range = 0.3  # degrees
  c.augment.zoom_range = 0.2
  c.augment.horizontal_flip = True
  c.augment.fill_mode = 'nearest'
  c.train.batch_size = 20
  c.train.steps_per_epoch = 180
  c.train.epochs = 70
  return c
