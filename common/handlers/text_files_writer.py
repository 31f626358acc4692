"""Keep beside the weights what texts are read with."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from common.utils.distributed import is_main_process
from common.utils.files import write_text


class TextFilesWriter:
    """Write ``text/tokenizer.json`` and ``text/prompts.json`` beside ``model.pt``.

    The text encoder's weights are in ``model.pt`` and its options in ``settings.json``; with these two files, later
    commands need neither the originals nor a network, see :func:`common.text.text_file`.
    """

    def __init__(self, ckpt_dir: str | Path, tokenizer: str | Path, prompts: str | Path, resume: bool = False) -> None:
        """Say what to keep.

        Args:
            ckpt_dir: folder of the weights.
            tokenizer: file of the tokenizer.
            prompts: file of the prompts.
            resume: leave the files of the training that goes on as they are.
        """
        self.folder = Path(ckpt_dir) / "text"
        self.files = {"tokenizer.json": Path(tokenizer), "prompts.json": Path(prompts)}
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        if is_main_process():
            engine.add_event_handler(Events.STARTED, self._write)

    def _write(self) -> None:
        for name, source in self.files.items():
            if not (self.resume and (self.folder / name).is_file()):
                write_text(self.folder / name, source.read_text(encoding="utf-8"))
