"""What README says is there is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
