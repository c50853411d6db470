"""Pascal VOC: one XML file per picture (VOC2012 development kit, section on annotations)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from samlab.errors import FormatError
from samlab.errors.arguments import checked_arguments
from samlab.formats.labelled import LabelledImages, RawObject, Reading
from samlab.formats.untrusted import is_file

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@checked_arguments
def read_voc(
    annotations: str | Path, images: str | Path, *, one_based: bool = True
) -> LabelledImages:
    """Read Pascal VOC detection labels.

    VOC counts pixels from 1 and includes the last one; a box becomes half-open from 0:
    `(xmin - 1, ymin - 1, xmax, ymax)`.

    Args:
        annotations: A folder of XML files, or one of them.
        images: The folder that `<filename>` is relative to.
        one_based: False for tools that write XML in VOC's form but count from 0 and write the end
            behind the last pixel; corners are then taken as they stand.

    Returns:
        The pictures, sorted by the XML files' names. A broken XML file is left out and counted.

    Raises:
        FormatError: There is no XML file, or no picture could be used.
    """
    source = Path(annotations)
    files = sorted(source.glob("*.xml")) if source.is_dir() else [source]
    if not any(map(is_file, files)):
        raise FormatError(
            f"Expected a folder with Pascal VOC's XML files, found none at '{source}'."
        )
    reading = Reading(source, images)
    for file in files:
        try:
            name, size, objects = _parse(file, one_based)
        except FormatError as error:
            reading.report.leave_out("picture", str(error), file.name)
        else:
            reading.add(name, objects, size)
    return reading.done()


class _Builder(ElementTree.TreeBuilder):
    """Refuses entities, in whatever encoding: how an XML file makes a parser swell, or read others.

    VOC never declares a document type.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise FormatError("the XML declares a document type, which VOC never does")


def _parse(file: Path, one_based: bool) -> tuple[str, tuple[int, int] | None, list[RawObject]]:
    try:
        root = ElementTree.fromstring(file.read_bytes(), ElementTree.XMLParser(target=_Builder()))
    except OSError as error:
        raise FormatError(f"the file cannot be read ({error.strerror or error})") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"the file is not XML ({error})") from None
    if root.tag != "annotation":
        raise FormatError(f"the XML is <{root.tag}>, expected VOC's <annotation>")
    name = (root.findtext("filename") or "").strip()
    if not name:
        raise FormatError("the field <filename> is missing")
    objects = []
    for i, item in enumerate(root.findall("object")):
        class_name = (item.findtext("name") or "").strip()
        if not class_name:
            raise FormatError(f"object {i} has no field <name>")
        objects.append(RawObject(f"object {i}", class_name, _box(item, one_based)))
    return name, _size(root), objects


def _box(item: ElementTree.Element, one_based: bool) -> list[object] | None:
    box = item.find("bndbox")
    if box is None:
        return None
    corners = [box.findtext(corner) for corner in _CORNERS]
    try:
        x0, y0, x1, y1 = (float(text or "") for text in corners)
    except ValueError:
        return list(corners)  # counted as broken by the reading
    first = 1 if one_based else 0
    return [x0 - first, y0 - first, x1, y1]


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{n}") or "") for n in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None
