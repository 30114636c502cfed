"""What a file holds that is only kept is told, in numbers."""

from rally_accelerate.server.value_streams.document import describe_unsupported
from support.value_streams import board, stage, stream


def test_nothing_is_said_of_a_file_that_is_drawn_whole() -> None:
    assert describe_unsupported(board()) == ""
    assert describe_unsupported(board() | {"metrics": [], "metricsBar": None, "linkRules": []}) == ""


def test_each_kind_is_counted_over_all_stages() -> None:
    stages = [stage("A", None, gates=[{"name": "G"}]), stage("B", None, gates=[{"name": "G"}], targets=[1])]
    document = stream(("P", stages), metrics=[{}], metricsBar=[{}, {}], linkRules=[{}, {}, {}])
    assert describe_unsupported(document) == "1 metric, 2 entries of the metrics bar, 3 link rules, 2 gates, 1 target"
