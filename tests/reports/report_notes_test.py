"""What a reader is told before the figures of a run."""

from bloodcell_jax.reports import report


def entry(confusion):
  many = {'num_groups': 20}
  return {
    'note': '',
    'confusion': confusion,
    'class_names': ['A', 'B'],
    'per_class': {'A': many, 'B': many},
  }


def test_a_network_that_predicts_one_class_is_said_to_have_learned_nothing_and_another_is_not():
  dead, alive = entry([[0, 9], [0, 9]]), entry([[1, 8], [0, 9]])
  first, *_ = report.warnings({'test': dead, 'test_clean': dead, 'validation': alive})
  assert first.startswith(
    'Every image of test, test_clean is predicted as B: the network has learned nothing'
  )
  assert report.warnings({'validation': alive}) == [report.RESEARCH_ONLY]
