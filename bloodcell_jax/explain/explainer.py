"""An image explained: what each layer makes of it, which pixels the answer rests on, and how far to trust that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from bloodcell_jax.data.images import locate
from bloodcell_jax.explain import cam, inside, integrated, occlusion, randomness, regions, sparsity
from bloodcell_jax.inference import classifier
from bloodcell_jax.models import geometry, layers

# By key: the title, and what of the map is counted when it is divided among regions.
METHODS: Mapping[str, tuple[str, str]] = {
  'grad_cam': ('Grad-CAM', 'positive values'),
  'grad_cam_plus_plus': ('Grad-CAM++', 'positive values'),
  'occlusion': ('Occlusion', 'positive values: where hiding lowers the logit'),
  'integrated_gradients': ('Integrated gradients', 'absolute values of the sum over the colours'),
}
REGIONS = ('nucleus', 'black', 'border')
# Of the image's side is hidden at a time, at so many places a row and a column.
OCCLUDED_SHARE, NUM_WINDOWS = 1 / 5, 8
# Points of the integral at the most, and the gap at which it is good enough.
MOST_POINTS, TOLERANCE = 64, 0.01
BATCH = 8
# Times that the weights are shuffled, for the maps that take one pass; once for the others.
NUM_SHUFFLES = 3


@dataclasses.dataclass(frozen=True)
class Explanation:
  """All that is known of one image."""

  image_HWC: np.ndarray  # uint8, as the network sees it before standardization
  region_HW: dict[str, np.ndarray]  # bool, by name; without 'nucleus' where none is found
  label: int  # the class that it is about
  prob_K: np.ndarray  # before any temperature
  look: inside.Look
  map_HW: dict[str, np.ndarray]  # by key of METHODS, at the image's size, signed
  integrated: integrated.Integrated
  # By key of METHODS, one a shuffle: the rank correlation with the map of shuffled weights; None where that is flat.
  correlation: dict[str, list[float | None]]

  def weight(self, method: str) -> np.ndarray:
    """What of a method's map is counted, [H, W], 0 or more; METHODS says it in words."""
    map_HW = self.map_HW[method]
    return np.abs(map_HW) if method == 'integrated_gradients' else np.maximum(map_HW, 0)

  def numbers(self) -> dict[str, Any]:
    """The figures as JSON values: shares of the area, of each method's attribution, and what checks the methods."""
    return {
      'area': {name: float(region_HW.mean()) for name, region_HW in self.region_HW.items()},
      'share': {
        method: {name: regions.share(self.weight(method), r_HW) for name, r_HW in self.region_HW.items()}
        for method in METHODS
      },
      'rank_correlation': self.correlation,
      'completeness': {
        'logit_difference': self.integrated.difference,
        'sum': self.integrated.total,
        'gap': self.integrated.gap,
        'num_points': self.integrated.num_points,
      },
      'zeros': {name: sparsity.zeros(values) for name, values in self.look.maps.items()},
    }

  def arrays(self) -> dict[str, np.ndarray]:
    """Everything as arrays by name, layers' maps as `layer:NAME`."""
    return {
      'image_HWC': self.image_HWC,
      **{f'region_{name}_HW': region_HW for name, region_HW in self.region_HW.items()},
      **{f'{method}_HW': np.asarray(map_HW, np.float32) for method, map_HW in self.map_HW.items()},
      'integrated_gradients_HWC': self.integrated.part_HWC.astype(np.float32),
      'logit_K': self.look.logit_K,
      **{f'layer:{name}': values for name, values in self.look.maps.items()},
    }


class Explainer:
  """Explains images by one network; compiled once.

  Args:
    loaded: the network with its way from grey levels to its input.

  Raises:
    UserError: the network has no convolution.
  """

  def __init__(self, loaded: classifier.Classifier):
    made = loaded.made
    size = made.experiment.data.decode.image_size
    self.size, self._made, self._params = size, made, loaded.params
    self._inside = inside.Inside(made.model, loaded.params, (size, size, 3), layers.MAPS, BATCH)
    self._shuffled = [randomness.shuffled(loaded.params, seed) for seed in range(NUM_SHUFFLES)]
    self.last_convolution = self._inside.last_convolution
    self.first_convolution = self._inside.first_convolution

  def geometry(self) -> list[geometry.Layer]:
    """Every layer, its size by the formula and in truth."""
    return geometry.layers(self._made.model, self._params, self.size)

  def explain(self, image_HWC: np.ndarray, label: int | None, check_all: bool) -> Explanation:
    """One image.

    Args:
      image_HWC: uint8, as `data.decode` gives it.
      label: the class to explain; None for the predicted one.
      check_all: compare with shuffled weights by every method, and not only by those that take one pass.

    Raises:
      Stopped: a stop was asked for.
    """
    region_HW = {'black': regions.black(image_HWC), 'border': regions.border(*image_HWC.shape[:2])}
    nucleus_HW = locate.mask(image_HWC)
    if nucleus_HW is not None:
      region_HW['nucleus'] = nucleus_HW
    input_HWC = self._made.standardize(image_HWC[None])[0]
    # The mean of what is not black: black itself would hide what the network sees in black corners.
    seen_HW = ~region_HW['black'] if not region_HW['black'].all() else region_HW['black']
    fill_HWC = np.broadcast_to(input_HWC[seen_HW].mean(0), input_HWC.shape)
    look, label = self._inside.look(self._params, input_HWC, label)
    cams = self._cams(look)
    map_HW = {method: cam.enlarge(np.maximum(found, 0), self.size) for method, found in cams.items()}
    drop_RR, map_HW['occlusion'] = self._occlusion(self._params, input_HWC, fill_HWC, label)
    whole = self._integrated(self._params, input_HWC, fill_HWC, label, MOST_POINTS)
    map_HW['integrated_gradients'] = whole.part_HWC.sum(-1)

    correlation: dict[str, list[float | None]] = {method: [] for method in METHODS}
    for shuffled in self._shuffled:
      self._made.poll()
      for method, found in self._cams(self._inside.look(shuffled, input_HWC, label)[0]).items():
        correlation[method].append(randomness.rank_correlation(cams[method], found))
    if check_all:
      shuffled = self._shuffled[0]
      drop, _ = self._occlusion(shuffled, input_HWC, fill_HWC, label)
      correlation['occlusion'].append(randomness.rank_correlation(drop_RR, drop))
      rough = self._integrated(shuffled, input_HWC, fill_HWC, label, BATCH)
      before, after = (np.abs(found.part_HWC.sum(-1)) for found in (whole, rough))
      correlation['integrated_gradients'].append(randomness.rank_correlation(before, after))
    prob_K = special.softmax(look.logit_K.astype(np.float64))
    return Explanation(image_HWC, region_HW, label, prob_K, look, map_HW, whole, correlation)

  def _cams(self, look: inside.Look) -> dict[str, np.ndarray]:
    seen = look.maps[self.last_convolution], look.gradient_HWC
    return {'grad_cam': cam.grad_cam(*seen), 'grad_cam_plus_plus': cam.grad_cam_plus_plus(*seen)}

  def _occlusion(
    self, params: Any, input_HWC: np.ndarray, fill_HWC: np.ndarray, label: int
  ) -> tuple[np.ndarray, np.ndarray]:
    window = max(1, round(OCCLUDED_SHARE * self.size))
    return occlusion.drops(self._score(params, label), input_HWC, fill_HWC, window, NUM_WINDOWS)

  def _integrated(
    self, params: Any, input_HWC: np.ndarray, fill_HWC: np.ndarray, label: int, most: int
  ) -> integrated.Integrated:
    def slope(image_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      self._made.poll()
      return self._inside.slopes(params, image_NHWC, label)

    return integrated.integrate(slope, input_HWC, fill_HWC, BATCH, TOLERANCE, most)

  def _score(self, params: Any, label: int) -> Callable[[np.ndarray], np.ndarray]:
    def score(image_NHWC: np.ndarray) -> np.ndarray:
      self._made.poll()
      return self._inside.logits(params, image_NHWC)[:, label]

    return score
