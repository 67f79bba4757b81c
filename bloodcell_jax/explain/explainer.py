"""Explains single images: feature maps, attribution maps by four methods, and checks of those methods."""

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

# By key: the title, and which values of the map count towards the shares of the regions.
METHODS: Mapping[str, tuple[str, str]] = {
  'grad_cam': ('Grad-CAM', 'positive values'),
  'grad_cam_plus_plus': ('Grad-CAM++', 'positive values'),
  'occlusion': ('Occlusion', 'positive values: occluding lowers the logit'),
  'integrated_gradients': ('Integrated gradients', 'absolute values of the sum over channels'),
}
REGIONS = ('nucleus', 'black', 'border')
# Side of the occluded square as a share of the image's side, and its positions per row and column.
OCCLUDED_SHARE, NUM_WINDOWS = 1 / 5, 8
# Largest number of points of the integral, and the completeness gap at which no more are added.
MAX_POINTS, TOLERANCE = 64, 0.01
BATCH = 8
# Shuffles of the weights for the methods that take a single pass; the others are compared with one.
NUM_SHUFFLES = 3


@dataclasses.dataclass(frozen=True)
class Explanation:
  """The maps and figures of one image."""

  image_HWC: np.ndarray  # uint8, before standardization
  region_HW: dict[str, np.ndarray]  # bool, by name; without 'nucleus' if none is found
  label: int  # the explained class
  prob_K: np.ndarray  # not calibrated
  activations: inside.Activations
  map_HW: dict[str, np.ndarray]  # by key of METHODS, at the image's size, signed
  integrated: integrated.Integrated
  # By key of METHODS, for each shuffle: rank correlation with the map of the shuffled weights; None if one is flat.
  correlation: dict[str, list[float | None]]

  def weight(self, method: str) -> np.ndarray:
    """The values of a method's map that count towards the shares, [H, W], 0 or more; see METHODS."""
    map_HW = self.map_HW[method]
    return np.abs(map_HW) if method == 'integrated_gradients' else np.maximum(map_HW, 0)

  def numbers(self) -> dict[str, Any]:
    """The figures as JSON values: shares of the area and of each attribution by region, and the sanity checks."""
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
      'zeros': {name: sparsity.zeros(values) for name, values in self.activations.maps.items()},
    }

  def arrays(self) -> dict[str, np.ndarray]:
    """All arrays by name; the feature maps of a layer are `layer:NAME`."""
    return {
      'image_HWC': self.image_HWC,
      **{f'region_{name}_HW': region_HW for name, region_HW in self.region_HW.items()},
      **{f'{method}_HW': np.asarray(map_HW, np.float32) for method, map_HW in self.map_HW.items()},
      'integrated_gradients_HWC': self.integrated.part_HWC.astype(np.float32),
      'logit_K': self.activations.logit_K,
      **{f'layer:{name}': values for name, values in self.activations.maps.items()},
    }


class Explainer:
  """Explains the predictions of one network; compiled once.

  Args:
    loaded: the network and its preprocessing.

  Raises:
    UserError: the network has no convolution.
  """

  def __init__(self, loaded: classifier.Classifier):
    job = loaded.job
    size = job.experiment.data.decode.image_size
    self.size, self._job, self._params = size, job, loaded.params
    self._probe = inside.Probe(job.model, loaded.params, (size, size, 3), layers.MAPS, BATCH)
    self._shuffled = [randomness.shuffled(loaded.params, seed) for seed in range(NUM_SHUFFLES)]
    self.last_convolution = self._probe.last_convolution
    self.first_convolution = self._probe.first_convolution

  def geometry(self) -> list[geometry.Layer]:
    """Every layer with its computed and its actual output size."""
    return geometry.layers(self._job.model, self._params, self.size)

  def explain(self, image_HWC: np.ndarray, label: int | None, check_all: bool) -> Explanation:
    """Explains one image.

    Args:
      image_HWC: uint8, as decoded.
      label: the class to explain; None for the predicted one.
      check_all: whether to compare every method with shuffled weights, or only those that take a single pass.

    Raises:
      Stopped: a stop was requested.
    """
    region_HW = {'black': regions.black(image_HWC), 'border': regions.border(*image_HWC.shape[:2])}
    nucleus_HW = locate.mask(image_HWC)
    if nucleus_HW is not None:
      region_HW['nucleus'] = nucleus_HW
    input_HWC = self._job.standardize(image_HWC[None])[0]
    # The mean of the pixels that are not black: filling with black would hide attribution to black corners.
    used_HW = ~region_HW['black'] if not region_HW['black'].all() else region_HW['black']
    fill_HWC = np.broadcast_to(input_HWC[used_HW].mean(0), input_HWC.shape)
    activations, label = self._probe.activations(self._params, input_HWC, label)
    cams = self._cams(activations)
    map_HW = {method: cam.enlarge(np.maximum(cam_HW, 0), self.size) for method, cam_HW in cams.items()}
    drop_RR, map_HW['occlusion'] = self._occlusion(self._params, input_HWC, fill_HWC, label)
    gradients = self._integrated(self._params, input_HWC, fill_HWC, label, MAX_POINTS)
    map_HW['integrated_gradients'] = gradients.part_HWC.sum(-1)

    correlation: dict[str, list[float | None]] = {method: [] for method in METHODS}
    for shuffled in self._shuffled:
      self._job.poll()
      randomized = self._cams(self._probe.activations(shuffled, input_HWC, label)[0])
      for method, cam_HW in randomized.items():
        correlation[method].append(randomness.rank_correlation(cams[method], cam_HW))
    if check_all:
      shuffled = self._shuffled[0]
      drop, _ = self._occlusion(shuffled, input_HWC, fill_HWC, label)
      correlation['occlusion'].append(randomness.rank_correlation(drop_RR, drop))
      rough = self._integrated(shuffled, input_HWC, fill_HWC, label, BATCH)
      before, after = (np.abs(each.part_HWC.sum(-1)) for each in (gradients, rough))
      correlation['integrated_gradients'].append(randomness.rank_correlation(before, after))
    prob_K = special.softmax(activations.logit_K.astype(np.float64))
    return Explanation(image_HWC, region_HW, label, prob_K, activations, map_HW, gradients, correlation)

  def _cams(self, activations: inside.Activations) -> dict[str, np.ndarray]:
    pair = activations.maps[self.last_convolution], activations.gradient_HWC
    return {'grad_cam': cam.grad_cam(*pair), 'grad_cam_plus_plus': cam.grad_cam_plus_plus(*pair)}

  def _occlusion(
    self, params: Any, input_HWC: np.ndarray, fill_HWC: np.ndarray, label: int
  ) -> tuple[np.ndarray, np.ndarray]:
    window = max(1, round(OCCLUDED_SHARE * self.size))
    return occlusion.drops(self._score(params, label), input_HWC, fill_HWC, window, NUM_WINDOWS)

  def _integrated(
    self, params: Any, input_HWC: np.ndarray, fill_HWC: np.ndarray, label: int, max_points: int
  ) -> integrated.Integrated:
    def gradient(image_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      self._job.poll()
      return self._probe.gradients(params, image_NHWC, label)

    return integrated.integrate(gradient, input_HWC, fill_HWC, BATCH, TOLERANCE, max_points)

  def _score(self, params: Any, label: int) -> Callable[[np.ndarray], np.ndarray]:
    def score(image_NHWC: np.ndarray) -> np.ndarray:
      self._job.poll()
      return self._probe.logits(params, image_NHWC)[:, label]

    return score
