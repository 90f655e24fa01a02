"""Write a new plugin: a whole distribution, rendered from the templates beside this file.

``template/common`` goes into every plugin, ``template/KIND`` into those of one kind, and ``template/parts`` holds what
several files include. In the path of a template ``PACKAGE`` and ``NAME`` stand for the plugin's, ``dot-`` for a dot.
"""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from geobind import __version__
from geobind.errors import DataError, GeobindError, PluginError
from geobind.files import told_when_full, write_atomic
from geobind.modality import load_object
from geobind.plugins import Plugins

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 20
"""Characters of a name at most: with it no line of the templates is longer than 120."""
ALSO_A_LOSS = ("loss/PACKAGE/loss.py.j2", "loss/tests/test_loss.py.j2")
"""What a whole modality takes from the templates of a loss, to bring one too."""


class Kind(StrEnum):
    """What a plugin brings."""

    MODALITY = "modality"
    """A whole modality: its items, an encoder, a data set and a recipe."""
    ENCODER = "encoder"
    """Another encoder for a modality that exists."""
    DATASET = "dataset"
    """Another source of pairs of modalities that exist."""
    LOSS = "loss"
    """Another loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlugin:
    """A plugin that is to be written."""

    name: str
    """The word recipes use; a lower-case identifier."""
    kind: Kind = Kind.MODALITY
    author: str = ""
    """Whose it is; ``The geobind-NAME developers`` when empty."""
    loss: bool = False
    """Whether a whole modality brings a loss too."""
    of: str = "satellite"
    """The modality that an encoder is for."""
    of_distribution: str = "geobind-satellite"
    """The distribution that brings that modality."""

    @property
    def package(self) -> str:
        """What Python imports: ``geobind_NAME``."""
        return f"geobind_{self.name}"

    @property
    def distribution(self) -> str:
        """What pip installs, and the folder: ``geobind-NAME``."""
        return self.package.replace("_", "-")

    @property
    def dependencies(self) -> list[str]:
        """What pip installs with it, with lower bounds."""
        of_kind = {
            Kind.MODALITY: ["geobind-text", "geobind-world"],
            Kind.ENCODER: [self.of_distribution],
            Kind.DATASET: ["geobind-satellite", "geobind-text"],
            Kind.LOSS: [],
        }
        release = __version__.rsplit(".", maxsplit=1)[0]
        return [f"{distribution}>={release}" for distribution in ("geobind", *of_kind[self.kind])]


def new_plugin(name: str, kind: Kind, plugins: Plugins, *, author: str, loss: bool, of: str) -> NewPlugin:
    """Check what is asked for against the plugins that are there.

    Raises:
        PluginError: The name is no lower-case word or is taken; or there is no such modality, or its items are no
            pictures.
    """
    from geobind.plan import recipe_paths

    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise PluginError(
            f"{name!r} cannot be the name of a plugin",
            fix=f"Take a lower-case word of at most {LONGEST} letters, digits and single _ between them.",
        )
    for record in plugins.records:
        if name == record.name or name in {spec.name for spec in record.specs}:
            raise PluginError(f"{name!r} is taken by plugin {record.name!r}", where=record.origin, fix="Take another.")
    if name in recipe_paths(plugins):
        raise PluginError(f"{name!r} is the name of a recipe already", fix="Take another.")
    distribution = _distribution_of_pictures(of, plugins) if kind is Kind.ENCODER else ""
    return NewPlugin(name=name, kind=kind, author=author, loss=loss, of=of, of_distribution=distribution)


def render(plugin: NewPlugin) -> dict[str, str]:
    """All files of a plugin: path inside its folder → text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("template")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 — Python, YAML and Markdown, nothing that a browser opens
    )
    values = {
        "name": plugin.name,
        "kind": str(plugin.kind),
        "package": plugin.package,
        "distribution": plugin.distribution,
        "author": plugin.author or f"The {plugin.distribution} developers",
        "dependencies": plugin.dependencies,
        "of": plugin.of,
        "loss": plugin.loss,
        "loss_type": plugin.name if plugin.kind is Kind.LOSS else f"{plugin.name}_margin",
    }
    files = {}
    for template in environment.list_templates():
        part, _, path = template.partition("/")
        if part in ("common", plugin.kind) or (plugin.loss and template in ALSO_A_LOSS):
            path = path.removesuffix(".j2").replace("PACKAGE", plugin.package)
            path = path.replace("NAME", plugin.name).replace("dot-", ".")
            files[path] = environment.get_template(template).render(values)
    return files


def write(plugin: NewPlugin, parent: Path) -> Path:
    """Write a plugin into a new folder, which is there whole or not at all.

    Returns:
        The folder, ``parent/geobind-NAME``.

    Raises:
        GeobindError: It is there already, or cannot be written.
    """
    folder = parent / plugin.distribution
    if folder.exists():
        raise GeobindError(f"{str(folder)!r} exists", fix="Remove it, or name another place with --folder.")
    part = parent / f".{plugin.distribution}.{secrets.token_hex(4)}.part"
    with told_when_full(folder):
        try:
            for path, text in render(plugin).items():
                write_atomic(part / path, text)
            part.rename(folder)
        except OSError as error:
            raise GeobindError(f"{str(folder)!r} cannot be written: {error}", fix="Name another --folder.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _distribution_of_pictures(modality: str, plugins: Plugins) -> str:
    """The distribution that brings a modality whose items are pictures.

    Raises:
        PluginError: No such modality; its items are something else; or it is no distribution's, but a file's.
    """
    from geobind.data.decode import read_image

    spec = plugins.modality(modality)
    if spec.example:
        try:
            read_image(load_object(spec.example)(0))
        except DataError as error:
            raise PluginError(
                f"items of {modality!r} are no pictures: {spec.item}",
                fix="The template's encoder reads pictures. For others start from a whole modality: --from modality.",
            ) from error
    owner = next(record for record in plugins.records if spec in record.specs)
    if owner.distribution:
        return owner.distribution.name
    raise PluginError(f"modality {modality!r} is that of a file", where=owner.origin, fix="Make it a distribution.")
