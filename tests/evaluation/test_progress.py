"""Progress of evaluations where there is no terminal."""

from ddgan_jax.evaluation import progress


def test_lines_without_a_terminal(capfd, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    with progress.Progress(30_000, "inception of samples") as shown:
        for _ in range(3):
            shown.update(10_000)
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert [line.partition(" images")[0] for line in lines] == [
        "inception of samples: 10,000 of 30,000",
        "inception of samples: 20,000 of 30,000",
    ]
    assert all(line.endswith(" s left") for line in lines) and err == ""


def test_short_evaluations_are_quiet(capfd):
    with progress.Progress(100, "inception of samples") as shown:
        shown.update(50)
        shown.update(50)
    assert capfd.readouterr() == ("", "")
