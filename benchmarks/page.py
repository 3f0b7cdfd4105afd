"""The page and the figure, drawn from the records alone."""

from pathlib import Path


def write_page(folder: Path) -> None:
    pass
