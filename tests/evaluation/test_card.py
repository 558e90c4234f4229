"""The model card of an exported run."""

import json

import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.evaluation.card import card, write_card
from ddgan_jax.io import run_folder

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"
REPORT = {
    "metrics": {
        **{"frechet_digits_classifier": 25.607, "kid_std_digits_classifier": 3.5},
        **{"fid": 9.5, "psnr": 20.0},
    },
    "protocol": {
        "step": 8000,
        "samples": 1500,
        "reference": {"name": "digits", "split": "train", "images": 1500},
        "extractors": [
            {"name": "digits-classifier", "weights_hash": "04a23ca0926f7166"},
            {"name": "inception-2015-12-05", "weights_hash": "1a2b"},
        ],
    },
}


@pytest.fixture(scope="module")
def model():
    return ddgan_jax.load(SHIPPED)


def text_of(model, report=REPORT, **rest):
    return card(model, run_folder.read_info(SHIPPED), report, **rest)


def test_what_the_run_is_and_how_it_was_measured(model):
    text = text_of(model, repository="user/my_digits", license_name="mit")
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert head.splitlines() == [
        "library_name: ddgan_jax",
        'tags: ["ddgan_jax", "jax", "ddgan"]',
        "pipeline_tag: unconditional-image-generation",
        "license: mit",
    ]
    assert body.strip().startswith("# my_digits") and "![samples](samples.png)" in body
    for row in (
        "| method | ddgan |",
        "| data | digits, train (1,500 examples) |",
        "| shape of an example | 8 x 8 x 1 |",
        "| network evaluations per sample | 2 |",
        "| frechet_digits_classifier | 25.61 | digits-classifier (04a23ca0926f7166) | 1,500 |",
        "| fid | 9.5 | inception-2015-12-05 (1a2b) | 1,500 |",
        "| psnr | 20 |  | 1,500 |",
    ):
        assert row in body, row
    assert "kid_std" not in body and "Reference: digits train, 1500 images." in body
    assert "Measured at step" not in body
    assert 'ddgan_jax.load("hf://user/my_digits")' in body
    assert "--workdir=hf://user/my_digits" in body


def test_the_head_is_yaml(model):
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(text_of(model, license_name="cc-by-4.0").split("---")[1])
    assert found["license"] == "cc-by-4.0" and found["tags"][2] == "ddgan"


def test_no_license_unless_the_user_names_one(model):
    assert "license" not in text_of(model)


def test_numbers_of_another_step_say_so(model):
    report = {**REPORT, "protocol": {**REPORT["protocol"], "step": 4000}}
    text = text_of(model, report)
    assert "Measured at step 4000; these weights are of step 8000." in text
    assert "has not been evaluated" in text_of(model, {})


def test_texts_of_a_report_are_no_markup(model):
    report = {
        "metrics": {"<script>|[a](b)": 1.0},
        "protocol": {"step": "<b>", "reference": {"name": "<i>\n# x"}, "extractors": ["x", {}]},
    }
    text = text_of(model, report)
    assert "<script>" not in text and "<b>" not in text and "<i>" not in text
    assert "\n# x" not in text and "](b)" not in text.replace("\\]", "")


def test_the_evaluation_goes_with_the_card(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    runs.ok("export", f"--workdir={SHIPPED}", f"--out={run}")
    (run / "evaluation.json").write_text(json.dumps(REPORT))
    runs.ok("export", f"--workdir={run}", f"--out={out}", "--card")
    assert json.loads((out / "evaluation.json").read_text()) == REPORT
    assert "25.61" in (out / "README.md").read_text()
    (run / "evaluation.json").write_text('{"metrics": {"fid": "<b>"}, "protocol": {}}')
    with pytest.raises(ddgan_jax.UserError, match=r"evaluation.json: metrics is"):
        write_card(run, out)
