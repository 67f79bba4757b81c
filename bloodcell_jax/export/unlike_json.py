"""`unlike.json` of an export: what images of the training look like, for a caller who withholds those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.data.images import appearance
from bloodcell_jax.inference import classifier
from bloodcell_jax.stats import look_reference, unlike

FILE = 'unlike.json'
FORMAT = 'bloodcell_jax unlike 2'


def values(loaded: classifier.Classifier) -> dict[str, Any] | None:
  """The part of the run's measure that needs no network, with the steps in words; None where the run has none."""
  if loaded.measure is None:
    return None
  num = appearance.NUM_NUMBERS[loaded.measure.version]
  return {
    'format': FORMAT,
    'numbers': [name for name, _ in appearance.NAMES[:num]],
    'aspects': list(appearance.ASPECTS[:num]),
    'references': [_reference(each, num) for each in loaded.measure.references],
    'unlike_share': loaded.job.experiment.unlike.unlike_share,
    'steps': steps(loaded),
  }


def _reference(reference: look_reference.Reference, num: int) -> dict[str, Any]:
  known = look_reference.names(appearance.ASPECTS)
  place = [look_reference.names(reference.aspects).index(aspect) for aspect in known]
  return {
    'centre': reference.centre_D[:num].tolist(),
    'spread': reference.spread_D[:num].tolist(),
    'mean': reference.mean_D[:num].tolist(),
    'covariance': reference.covariance_DD[:num, :num].tolist(),
    'ordinary': {aspect: float(reference.ordinary_A[at]) for aspect, at in zip(known, place, strict=True)},
    'held_out': np.round(reference.held_out_N, 6).tolist(),
    'folder_limit': reference.folder_limit,
  }


def steps(loaded: classifier.Classifier) -> list[str]:
  """How a caller judges images, in words."""
  share = loaded.job.experiment.unlike.unlike_share
  farthest = look_reference.FARTHEST
  return [
    'x: the numbers of the image after cropping and resizing, before the program, as '
    '`bloodcell_jax/data/images/appearance.py` computes them (NumPy, Pillow and scikit-image)',
    'with each of references, one or one of each laboratory:',
    f'z = (x - centre) / spread, clipped to -{farthest:g} to {farthest:g}, minus mean',
    'for each aspect, with the z, and the rows and columns of covariance, that belong to it: '
    'd = sqrt(z inverse(covariance) z / number of z), divided by ordinary',
    'an image is judged by the reference for which its largest d is smallest',
    f'it is unlike if its largest d exceeds more than {1 - share:.3g} of held_out, and the aspect is the reason',
    f'a folder of {unlike.LEAST_IMAGES} images or more is unlike as a whole if the mean m of their z, over all '
    f'numbers n, has sqrt(m inverse(covariance) m - 1.5 n / number of images) above folder_limit of every '
    'reference, or if more than '
    f'{unlike.MOST_UNLIKE:.0%} of its images, and more than {unlike.FEW_UNLIKE}, are unlike; images of several '
    'laboratories in one folder are judged apart, each with those of its reference',
  ]


def sentence(loaded: classifier.Classifier) -> str:
  """What the model card says of unlike images."""
  start = 'The program names the cells of another laboratory as it names those of its own; `predict` withholds them. '
  if loaded.measure is None:
    return f'{start}The run has no measure of unlike images; evaluate it, then export it again.'
  rest = (
    ' The distance of the content from the classes, which also reveals some cells of other classes, is left out: the '
    'program does not give the features that it needs.'
    if loaded.measure.classes is not None
    else ''
  )
  return (
    f'{start}Not inside the program, but in `{FILE}`: what the training images look like in stain, scale and '
    f'sharpness, with the steps by which a caller withholds others.{rest}'
  )
