"""The kinds of generated bad input."""

from tests.fuzz import arrays, command_lines, configs, originals, run_folders
from tests.fuzz.shared import Kind


def everything() -> dict[str, tuple[Kind, float]]:
    """Kinds by name, each with its share of the cases."""
    return {
        "flags": (command_lines.flags, 16),
        "command lines": (command_lines.command_lines, 6),
        "environments": (command_lines.environments, 4),
        "refused fields": (configs.refused_fields, 20),
        "accepted fields": (configs.accepted_fields, 2),
        "config files": (configs.config_files, 8),
        "run metadata": (run_folders.run_metadata, 9),
        "run bytes": (run_folders.run_bytes, 4),
        "checkpoints": (run_folders.checkpoints, 4),
        "run places": (run_folders.run_places, 6),
        "run links": (run_folders.run_links, 4),
        "output links": (run_folders.temporary_links, 2),
        "comparisons": (run_folders.comparisons, 1.5),
        "npz arrays": (arrays.npz_arrays, 7),
        "labels": (arrays.npz_labels, 1),
        "npz bytes": (arrays.npz_bytes, 2),
        "archives": (arrays.archives, 4),
        "prepared metadata": (arrays.prepared_metadata, 4),
        "prepared files": (arrays.prepared_files, 4),
        "torch": (originals.torch_files, 6),
        "images": (originals.image_folders, 7),
        "originals": (originals.original_files, 4),
        "caches": (arrays.caches, 1),
        "plug-ins": (configs.plug_ins, 4),
        "names": (command_lines.names, 3),
    }
