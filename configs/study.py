"""Every row of the study, run and put into one table beside the study's own figures.

    python main.py study --config.data.source=kaggle --config.data.dir=FOLDER --budget=6h

`--config.data.*` and `--config.evaluate.*` hold for every row. A row of your own is three lines of `ROWS`; the meaning
of each argument is at `row`. Rows are run in this order: neighbours share decoded images, and VGG16's block-5 rows come
before the row of the head, because the cached output of block 4 gives that of block 5.
"""

from typing import Any

from ml_collections import config_dict

from configs import default

A, B = 'configs/cnn_a.py', 'configs/cnn_b.py'
VGG16, ENSEMBLE, CNN_SVR = 'configs/finetune.py', 'configs/ensemble.py', 'configs/cnn_svr.py'
NETWORKS, FINE_TUNING = 'Networks from scratch, whole frame at 150x150', 'VGG16 with ImageNet weights'
TREES = "Trees on a network's features"
ENSEMBLES, HYBRIDS = 'Ensembles', 'CNN with another last layer, 32x32'
NO_SPLIT, NO_NETWORK = 'images not stated', 'images and network not stated'
DESCRIBED = 'described, not run'
CRASHED = '71 images, second epoch; the program crashed in the third'
SCRATCH_SECONDS, TUNING_SECONDS = (441, 491), (2355, 3249)

# What a figure of the study can be compared with.
UNSTATED = (
  'The study does not say on which images its figure was measured, and it held out 71 only: compare it with our '
  'training accuracy. TEST-clean says what is left of that on photographs of other fields.'
)


def row(
  group: str,
  name: str,
  title: str,
  config: str = '',
  overrides: dict[str, Any] | None = None,
  accuracy: float = 0.0,
  loss: float = 0.0,
  images: str = DESCRIBED,
  seconds: tuple[int, ...] = (),
  reference: str = '',
  meaning: str = '',
  trees: str = '',
  features_of: str = '',
) -> config_dict.ConfigDict:
  """A row of the table.

  Args:
    group: the heading that it stands under.
    name: of its folder, in --workdir.
    title: in the table.
    config: a config file, with :variant; its train.steps_per_epoch and epochs are the length of --budget=1.
    overrides: dotted key -> value.
    accuracy: the study's figure, 0 for none.
    loss: the study's, in nats, 0 for none.
    images: which images the study's figure is on.
    seconds: the study's (least, greatest) seconds an epoch.
    reference: the row that it is compared with in pairs, or ''.
    meaning: what the difference to the study's figure, or to the reference, means, in a sentence.
    trees: random_forest or hist_gradient_boosting, in place of a config.
    features_of: for trees, the row of a single network, before this one, on whose features they are fitted.
  """
  published = {'accuracy': accuracy, 'loss': loss, 'images': images, 'seconds': seconds}
  return config_dict.ConfigDict(
    {
      'group': group, 'name': name, 'title': title, 'config': config, 'overrides': tuple((overrides or {}).items()),
      'published': published, 'reference': reference, 'meaning': meaning, 'trees': trees, 'features_of': features_of,
    }
  )  # fmt: skip


def get_config() -> config_dict.ConfigDict:
  """The rows, and the keys that all of them share; their meaning is in configs/default.py."""
  whole, c = default.get_config(), config_dict.ConfigDict()
  c.data = config_dict.ConfigDict(
    {
      # What a row's network sees of an image (size, view, interpolation, brightness) is its own.
      key: value for key, value in whole.data.items()
      if key not in ('image_size', 'view', 'interpolation', 'stretch_brightness')
    }
  )  # fmt: skip
  # Synthetic photographs per class: enough to see that every row works.
  c.data.embedded.num_train, c.data.embedded.num_test, c.data.embedded.num_copies = 10, 5, 2
  c.evaluate = whole.evaluate
  # test_simple is the study's own 71 images.
  c.evaluate.splits = ('validation', 'test', 'test_clean', 'test_simple')
  c.rows = ROWS
  return c


CROP = {'data.view': 'nucleus'}
VGG16_LENGTH = {'train.steps_per_epoch': 199}  # the study's; six epochs a stage
SMALL_LENGTH = {'train.steps_per_epoch': 160}  # one pass over the Kaggle training images
MEMBERS = {'ensemble.members': 3}
# The stage fits the regression; one epoch at this rate leaves every weight as it was fitted.
FITTED_ONLY = {**SMALL_LENGTH, 'stages.svr.epochs': 1, 'stages.svr.learning_rate': 1e-12}

ROWS = (
  row(NETWORKS, 'cnn_a-rmsprop', 'CNN A, RMSprop', f'{A}:rmsprop', reference='cnn_b-rmsprop', accuracy=0.91, loss=0.2,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS, meaning=UNSTATED),
  row(NETWORKS, 'cnn_a-adam', 'CNN A, Adam', f'{A}:adam', reference='cnn_a-rmsprop', accuracy=0.82, loss=0.78,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS, meaning=UNSTATED),
  row(NETWORKS, 'cnn_a-sgd', 'CNN A, SGD', f'{A}:sgd', reference='cnn_a-rmsprop', accuracy=0.82,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS,
      meaning='At a learning rate of 1e-4 without momentum SGD hardly moves in the study\'s own number of updates; a '
              'figure near chance here is underfitting, and the study does not say how its own was reached.'),
  row(NETWORKS, 'cnn_b-rmsprop', 'CNN B, RMSprop', f'{B}:rmsprop', accuracy=0.91, loss=0.2,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS,
      meaning='Where the study prints its epochs, the last has a training accuracy of 0.94 and 0.72 on its 71 images: '
              'the 0.91 is near the first, and TEST-clean is the honest counterpart of the second.'),
  row(NETWORKS, 'cnn_b-adam', 'CNN B, Adam', f'{B}:adam', reference='cnn_b-rmsprop', accuracy=0.82, loss=0.78,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS, meaning=UNSTATED),
  row(NETWORKS, 'cnn_b-sgd', 'CNN B, SGD', f'{B}:sgd', reference='cnn_b-rmsprop', accuracy=0.82,
      images=NO_NETWORK, seconds=SCRATCH_SECONDS,
      meaning='As for CNN A: at this learning rate SGD hardly moves, so a figure near chance is underfitting.'),
  row(NETWORKS, 'cnn_b-long', 'CNN B, RMSprop, 80 epochs of 150', f'{B}:rmsprop',
      {'train.steps_per_epoch': 150, 'train.epochs': 80}, reference='cnn_b-rmsprop', accuracy=0.91, loss=0.2,
      images=NO_SPLIT, seconds=SCRATCH_SECONDS,
      meaning='The study calls this its best length and takes the gain to come from more epochs. Against the row of 30 '
              'epochs: whether TEST-clean gains as training does is what the study could not ask.'),
  row(NETWORKS, 'cnn_b-augmented', 'CNN B, RMSprop, augmented', 'configs/cnn_b_augmented.py', accuracy=0.921,
      loss=0.21, images=NO_SPLIT, seconds=SCRATCH_SECONDS, reference='cnn_b-rmsprop',
      meaning='Augmentation is for new photographs, of which the study had 71: its step from 0.91 to 0.921 cannot show '
              'what it is for. The paired comparison with the row without augmentation can.'),
  row(TREES, 'forest', 'random forest on CNN B\'s features', trees='random_forest', features_of='cnn_b-augmented',
      reference='cnn_b-augmented', meaning='What trees add to the network whose features they are fitted on.'),
  row(TREES, 'gradient_boosting', 'gradient boosting on CNN B\'s features', trees='hist_gradient_boosting',
      features_of='cnn_b-augmented', reference='cnn_b-augmented',
      meaning='What boosted trees add to the network whose features they are fitted on.'),
  row(FINE_TUNING, 'vgg16-rmsprop', 'VGG16, head, then block 5 by RMSprop', f'{VGG16}:rmsprop', VGG16_LENGTH,
      accuracy=0.394, loss=1.777, images=CRASHED, seconds=TUNING_SECONDS, reference='vgg16-head',
      meaning='The study never finished this row: 0.39 is its second epoch on 71 images, 0.59 in training.'),
  row(FINE_TUNING, 'vgg16-sgd', 'VGG16, head, then block 5 by SGD', f'{VGG16}:sgd', VGG16_LENGTH,
      images='crashed, no figure', seconds=TUNING_SECONDS, reference='vgg16-head',
      meaning='The study names SGD as the second optimizer of block 5 and has no figure of it.'),
  row(FINE_TUNING, 'vgg16-head', 'VGG16 frozen, head alone', f'{VGG16}:head', VGG16_LENGTH, images='no figure',
      reference='cnn_b-rmsprop',
      meaning='The first step of the study\'s recipe, of which it has no figure: only the head is trained, on what '
              'ImageNet\'s last block makes of a whole frame.'),
  row(FINE_TUNING, 'vgg16-crop-rmsprop', 'VGG16 on the nucleus, block 5 by RMSprop', f'{VGG16}:rmsprop',
      {**VGG16_LENGTH, **CROP}, images='whole frame only', reference='vgg16-rmsprop',
      meaning='Not in the study: the same training on a crop around the nucleus, against the whole frame.'),
  row(FINE_TUNING, 'vgg16-crop-sgd', 'VGG16 on the nucleus, block 5 by SGD', f'{VGG16}:sgd', {**VGG16_LENGTH, **CROP},
      images='whole frame only', reference='vgg16-sgd',
      meaning='Not in the study: the same training on a crop around the nucleus, against the whole frame.'),
  row(FINE_TUNING, 'vgg16-crop-head', 'VGG16 on the nucleus, frozen, head alone', f'{VGG16}:head',
      {**VGG16_LENGTH, **CROP}, images='whole frame only', reference='vgg16-head',
      meaning='Not in the study: what the crop around the nucleus alone gives, with nothing but the head trained.'),
  row(ENSEMBLES, 'averaged', 'three of CNN B on the nucleus, averaged', f'{ENSEMBLE}:average', MEMBERS,
      reference='cnn_b-augmented',
      meaning='The essay expects a lower error from more averaged networks and measures none. Against the single '
              'network part of the difference is the crop; the ensemble\'s report compares it with its own members.'),
  row(ENSEMBLES, 'bagged', 'three of CNN B on the nucleus, bagged', f'{ENSEMBLE}:bagging', MEMBERS,
      reference='averaged', meaning='Described in the essay for trees; here bags are drawn from whole photographs.'),
  row(ENSEMBLES, 'boosted', 'three of CNN B on the nucleus, boosted', f'{ENSEMBLE}:gradient', MEMBERS,
      reference='averaged', meaning='Described in the essay for trees; here each network is fitted to the residuals.'),
  row(ENSEMBLES, 'stacked', 'three of CNN B on the nucleus, stacked', f'{ENSEMBLE}:stacking', MEMBERS,
      reference='averaged',
      meaning='Described in the essay; the combination is fitted on predictions for photographs that the network was '
              'not trained on.'),
  row(HYBRIDS, 'cnn_svr-softmax', 'the hybrid\'s CNN, softmax', f'{CNN_SVR}:softmax', SMALL_LENGTH,
      meaning='The network before its last layer is replaced; the essay has no figure of it.'),
  row(HYBRIDS, 'cnn_svr-fitted', 'CNN-SVR, fitted', f'{CNN_SVR}:svr', FITTED_ONLY, reference='cnn_svr-softmax',
      meaning='The regression fitted on the softmax network\'s features, nothing tuned; the essay has no figure.'),
  row(HYBRIDS, 'cnn_svr-tuned', 'CNN-SVR, tuned by SGD', f'{CNN_SVR}:svr', SMALL_LENGTH, reference='cnn_svr-fitted',
      meaning='What back-propagation through the fitted regression adds; the essay has no figure of it.'),
  row(HYBRIDS, 'rbf', 'CNN with RBF neurons', f'{CNN_SVR}:rbf', SMALL_LENGTH, reference='cnn_svr-tuned',
      meaning='The essay\'s "RBF-like neurons" in place of the regression; it has no figure of them.'),
)  # fmt: skip
