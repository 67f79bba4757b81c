"""One run gives an image the same probabilities, whoever asks: train, evaluate, predict, export."""

from __future__ import annotations

import pathlib
from typing import Any

import evaluating
import numpy as np
import pytest
from small_run import load, metrics, probs, run

from bloodcell_jax.base import types
from bloodcell_jax.data import reading
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.export import parity, program
from bloodcell_jax.inference import classifier, differential_count, file_predictions
from bloodcell_jax.runs import run_data, saved_run
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import journal, predictions_csv, workdir

pytestmark = pytest.mark.usefixtures('blank_figures')


def calibrated(probs_NK: np.ndarray, loaded: classifier.Classifier) -> np.ndarray:
  nothing = np.zeros(len(probs_NK), np.int32)
  plain = types.Predictions(probs_NK, nothing, nothing.astype(str), nothing.astype(str), loaded.class_names)
  return calibration.scaled(plain, loaded.rule.temperature).probs_NK


def of_files(
  loaded: classifier.Classifier, folder: workdir.Workdir, to: pathlib.Path
) -> differential_count.ClassifiedCells:
  """What `predict` says of the files of the test split, in the order of its CSV."""
  spec = loaded.job.experiment.data.decode
  table = reading.read_table(loaded.job.experiment.data)[0]
  content = dict(zip(table.file.tolist(), table.content, strict=True))
  found = []
  to.mkdir()
  for i, name in enumerate(predictions_csv.read(folder.predictions('test')).file_N.tolist()):
    (to / f'{i}.png').write_bytes(content[name])
    found.append(input_paths.Input(str(to / f'{i}.png'), f'{i}.png'))
  known = journal.Journal(
    to / 'journal.jsonl', file_predictions.fingerprint(loaded, spec), loaded.class_names
  )
  seen = file_predictions.predict_files(
    loaded, found, spec, known, lambda done, total: None, file_predictions.cells_of
  )
  return differential_count.classify(seen.cells, seen.probs_NK, loaded.class_names, loaded.rule, None)


def case(model: str, loss: str, method: str, combine: str, quick: bool = False) -> Any:
  name = '-'.join(part for part in (model, loss, method, combine) if part)
  marks = (
    () if quick else pytest.mark.long if loss == 'svr' and (method, combine) in LONG else pytest.mark.slow
  )
  return pytest.param(model, loss, method, combine, id=name, marks=marks)


AVERAGED = (
  'auto',
  'logits',
  'geometric',
  'vote',
  'weighted',
  'swa',
  'soup',
  'logistic',
  'gradient_boosting',
  'mlp',
)
STACKED = ('logistic', 'gradient_boosting', 'mlp')
QUICK = {('average', 'auto')}
LONG = {('average', 'swa')}
CASES = [
  *(
    case(model, loss, '', 'auto', model == 'cnn_svr')
    for model in ('cnn_svr', 'cnn_a', 'cnn_b', 'vgg16')
    for loss in ('cross_entropy', 'svr')
  ),
  *(
    case('cnn_svr', loss, method, combine, loss == 'svr' and (method, combine) in QUICK)
    for loss in ('svr', 'cross_entropy')
    for method, combine in (
      *(('average', combine) for combine in AVERAGED),
      *((method, 'auto') for method in ('snapshot', 'bagging', 'samme', 'samme_r', 'gradient')),
    )
    if (method, loss) != ('gradient', 'svr')
  ),
]


@pytest.mark.parametrize(('model', 'loss', 'method', 'combine'), CASES)
def test_train_evaluate_predict_and_export_give_an_image_the_same_probabilities(
  model, loss, method, combine, tmp_path, monkeypatch
):
  changes = {'model.name': model, 'ensemble.method': method, 'ensemble.combine': combine}
  changes |= {'data.image_size': 96} if model in ('cnn_a', 'cnn_b') else {}
  # A member that is no better than chance is dropped.
  changes |= {'train.steps_per_epoch': 400} if method.startswith('samme') else {}
  # Far from 1 whatever the network has learned: a temperature that is left out, or applied twice, shows.
  monkeypatch.setattr(calibration, 'fit_temperature', lambda predictions, weight_N: 0.2)
  folder = run(tmp_path / 'run', loss, **changes, **{'evaluate.tta': 'mirrors'})
  trained = {split: probs(folder, split) for split in metrics(folder)}
  rule = load(folder).rule
  assert rule is not None

  evaluating.run(monkeypatch, folder.path)
  for split, expected_NK in trained.items():
    np.testing.assert_allclose(probs(folder, split), expected_NK, atol=1e-5, err_msg=split)
  loaded = load(folder)
  again = loaded.rule
  assert again.temperature == pytest.approx(rule.temperature, rel=1e-3)
  assert (again.threshold is None) == (rule.threshold is None)
  if 'validation' in trained:
    # Threshold and sets are those of these very predictions.
    targets = loaded.job.experiment.calibration
    found = predictions_csv.read(folder.predictions('validation'))
    own = calibration.fit_at(again.temperature, found, targets, np.zeros(len(found), np.int32))
    assert own.threshold == pytest.approx(again.threshold, abs=1e-4)
    assert own.conformal.limit == pytest.approx(again.conformal.limit, abs=1e-4)

  expected_NK = calibrated(trained['test'], loaded)
  np.testing.assert_allclose(of_files(loaded, folder, tmp_path / 'files').probs_NK, expected_NK, atol=1e-5)

  data = run_data.reader(saved_run.read_experiment(folder, None), folder.cache)(lambda done, total: None)
  image_NHWC = data.image_NHWC[data.rows['test']]
  exported = program.build(loaded)
  answer_NK = np.asarray(exported.probabilities(exported.weights, image_NHWC))
  np.testing.assert_allclose(answer_NK, expected_NK, atol=parity.LIMIT)
  np.testing.assert_allclose(parity.reference(loaded, image_NHWC), expected_NK, atol=parity.LIMIT)
  # Negative control: the comparison sees another temperature. Votes, and what is learned from so few, may not show it.
  other_NK = calibration.scaled(
    predictions_csv.read(folder.predictions('test')), 3 * rule.temperature
  ).probs_NK
  is_plain = method in ('', 'average') and combine not in ('vote', *STACKED)
  assert not is_plain or np.abs(other_NK - expected_NK).max() > 10 * parity.LIMIT
