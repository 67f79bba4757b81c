r"""AlexNet's convolutions trained on many single cells, to begin other trainings with: see docs/best.md.

    python main.py --config=configs/pretraining.py --config.data.source=folders --config.data.dir=FOLDER \
      --workdir=runs/pretraining
    python main.py --config=configs/best.py:quick --config.weights.path=runs/pretraining ...

FOLDER has a folder for each class, or TRAIN and VAL with one each, of images that show one cell. This is how the
weights 'pbc' in the package were trained, in 43 minutes on two cores beside other work. Without a folder
it runs on a few synthetic smears.
"""

from ml_collections import config_dict

from configs import default


def get_config() -> config_dict.ConfigDict:
  """The config."""
  c = default.get_config()
  c.data.view = 'cell_close'
  c.data.image_size = 224
  c.data.embedded.num_train = 40  # photographs per class: enough to see that everything works
  c.data.embedded.num_test = 15
  c.data.embedded.num_copies = 2
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  # Wide, so that what is learned holds for other microscopes and stains.
  c.augment.rotation_range = 180.0
  c.augment.zoom_range = (0.75, 1.35)
  c.augment.width_shift_range = 0.1
  c.augment.height_shift_range = 0.1
  c.augment.shear_range = 10.0
  c.augment.brightness_range = (0.75, 1.0)
  c.augment.mirrors = True
  c.augment.hue_range = 0.03
  c.augment.saturation_range = (0.7, 1.4)
  c.augment.stain_range = 0.3
  c.augment.blur_range = 1.5
  c.weights.path = 'auto'
  c.model.name = 'alexnet'
  c.model.head = 'mean_max'
  c.model.dropout_rate = 0.3
  c.train.draw = 'laboratories'  # the class first, then the image
  c.train.label_smoothing = 0.1
  c.train.ema_momentum = 0.99
  c.train.steps_per_epoch = 190
  c.train.checkpoint_every = 100
  c.train.checkpoint_unit = 'steps'
  # A new output layer is fitted first: with a random one the first updates would change the convolutions at random.
  # The first convolution stays as it is, which saves a third of the time.
  c.stages.cache_features = False
  c.stages.order = ('fit', 'fine')
  c.stages.fit = default.stage(('dense_.*',), 1, 'sgd', 1e-12)
  c.stages.fit.output_layer = 'logistic'
  c.logistic.strength = 1e-2
  c.stages.fine = default.stage(('block[2-5]_.*', 'dense_.*'), 5, 'adam', 1e-4)
  c.stages.fine.decay = 1e-3
  return c
