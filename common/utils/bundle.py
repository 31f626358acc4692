"""A bundle folder, read."""

from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from common.utils.messages import PlainError, did_you_mean

__all__ = ["Bundle"]


class Bundle:
    """The files of one bundle.

    Args:
        folder: the bundle's folder, which holds ``configs/metadata.json``.

    Raises:
        PlainError: if it is no bundle.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        if not (self.folder / "configs" / "metadata.json").is_file():
            beside = self.folder.parent.glob("*/configs/metadata.json") if self.folder.parent.is_dir() else ()
            hint = did_you_mean(self.folder.name, [p.parents[1].name for p in beside])
            raise PlainError(f"'{folder}' is not a bundle: it has no file configs/metadata.json{hint}")

    @property
    def name(self) -> str:
        """The folder's name, which is the bundle's name."""
        return self.folder.name

    @property
    def version(self) -> str:
        """The version stated by the metadata."""
        return str(self.metadata.get("version", ""))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The content of ``configs/metadata.json``."""
        return ConfigParser.load_config_file(self.config_file("metadata"))

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """The content of every other file in ``configs``, by name without suffix, as written (nothing merged)."""
        files = sorted((self.folder / "configs").glob("*.json"))
        return {f.stem: ConfigParser.load_config_file(f) for f in files if f.stem != "metadata"}

    def config_file(self, name: str) -> Path:
        """Give the path of a configuration, such as ``train``."""
        return self.folder / "configs" / f"{name}.json"

    def trained_config(self, name: str) -> dict[str, Any]:
        """Give a configuration with the settings of the trained network, which training writes beside the weights."""
        config, file = self.configs[name], self.folder / "models" / "settings.json"
        if "ckpt_path" not in config or not file.is_file():
            return config
        return {**config, **{k: v for k, v in ConfigParser.load_config_file(file).items() if k in config}}

    def weights_file(self) -> Path:
        """Give the path of the trained weights.

        Raises:
            PlainError: if the bundle was not trained yet.
        """
        file = self.folder / "models" / "model.pt"
        if not file.is_file():
            raise PlainError(
                f"{self.folder} has no models/model.pt yet. Train it with `python -m monai.bundle run --config_file "
                f"{self.config_file('train')}`, or copy what is in the checkpoints folder of another run there "
                f"(`make demo BUNDLE={self.name}` makes one under runs/)"
            )
        return file

    def parser(self, *names: str) -> ConfigParser:
        """Merge configurations as MONAI does, later over earlier, with the metadata and this bundle's folder."""
        parser = ConfigParser()
        parser.read_config([str(self.config_file(n)) for n in names])
        parser.read_meta(str(self.config_file("metadata")))
        parser["bundle_root"] = str(self.folder)
        return parser
