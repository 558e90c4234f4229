"""Write the data sets that `tfds:` names find, from their original files."""

from pathlib import Path

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.tfds_source import data_root


def write_dataset(
    kind: str, source: str, data_dir: str = "", *, name: str = "", size: int = 0
) -> tuple[str, Path]:
    """Write one data set.

    Args:
      kind: `mnist`, `fashion_mnist`, `cifar10` or `folder`.
      source: folder of the original files.
      data_dir: where data sets lie; '' is where TFDS keeps them.
      name: name of the data set, for `folder`.
      size: height and width of its images, for `folder`.

    Returns:
      The value of `config.data.name` for it, and the folder that was written.

    Raises:
      UserError: files missing or damaged, a bad name or size, or already prepared.
    """
    from ddgan_jax.data import builders

    where, root = Path(source).expanduser(), data_root(data_dir)
    if kind != "folder":
        builder = {
            "mnist": builders.Mnist,
            "fashion_mnist": builders.FashionMnist,
            "cifar10": builders.Cifar10,
        }[kind]
        return f"tfds:{kind}", builders.write(builder, where, root)

    if not name.isidentifier():
        raise UserError(f"--name={name}: allowed: letters, digits and _, a letter first")
    if size < 1:
        raise UserError(f"--size={size}: allowed: 1 or more")
    classes = sorted({builders.class_of(path) for path in builders.find_images(where)})
    config = builders.FolderConfig(
        name=name, description=f"Images of {where.name}.", size=size, classes=tuple(classes)
    )
    return f"tfds:image_folder/{name}", builders.write(builders.ImageFolder, where, root, config)
