"""What README says is there is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_blocks_that_continuous_integration_runs():
    for marker in ("quickstart", "tests"):
        assert re.search(rf"<!-- {marker} -->\n```bash\n[^\n]+\n```", README), marker


def test_links_and_configs_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
    for config in re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE):
        assert (ROOT / "configs" / f"{config}.py").exists(), config
    for folder in re.findall(r"--workdir=(ddgan_jax/\S+)", README):
        assert (ROOT / folder / "config.json").exists(), folder


def test_the_site_has_every_page():
    pages = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    docs = ROOT / "docs"
    assert sorted(pages) == sorted(str(page.relative_to(docs)) for page in docs.glob("**/*.md"))


PLACEHOLDER = re.compile(r"\b(?:TODO|TBD|[A-Z]+_HERE|TOY\w*|[A-Z]+_CHOICE|QUICKSTART\w*)\b")
OUTSIDE = re.compile(r"/(work|root|home|tmp)\b")


def test_no_placeholder_is_left():
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/*.py")]:
        assert not PLACEHOLDER.findall(path.read_text()), path


def test_no_path_of_some_machine():
    for pattern in (
        "ddgan_jax/**/*.py",
        "configs/*.py",
        "docs/**/*.md",
        "tests/**/*.py",
        "launch/*",
    ):
        for path in ROOT.glob(pattern):
            if path.name != Path(__file__).name:
                assert not OUTSIDE.search(path.read_text()), path
