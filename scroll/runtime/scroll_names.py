"""What scrolls are called: the challenge's numbers and the library's names, and the folder that "scroll/segment" becomes."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from scroll.runtime.names import sound_name

LAYERS_SOURCE, VOLUME_SOURCE = "surface_volume_source.txt", "volume_source.txt"  # in a sheet's folder: where its CT is
SCROLLS = {  # as the challenge numbers them -> as the open-data catalogue names them
    "Scroll1": "PHercParis4",
    "Scroll2": "PHercParis3",
    "Scroll3": "PHerc0332",
    "Scroll4": "PHerc1667",
    "Scroll5": "PHerc0172",
}
OTHER_NAMES = {name: number for number, name in SCROLLS.items()}
LIBRARY_NUMBER = re.compile(r"pherc0*(\d{1,4})(\w*)", re.IGNORECASE)
LIBRARY_PARIS = re.compile(r"phercparis(\w+)", re.IGNORECASE)


def scroll_name(text: str) -> str:
    """The one name of a scroll, however it is written; text that names none of these stays as it is.

    >>> scroll_name("Scroll1"), scroll_name("1"), scroll_name("PHerc. Paris 4"), scroll_name("pherc332"), scroll_name("PHerc0500P2")
    ('PHercParis4', 'PHercParis4', 'PHercParis4', 'PHerc0332', 'PHerc0500P2')
    """
    plain = re.sub(r"[\s._-]", "", text)
    number = re.fullmatch(r"(?:scroll)?0*([1-9]\d?)", plain, re.IGNORECASE)
    if number and f"Scroll{number[1]}" in SCROLLS:
        return SCROLLS[f"Scroll{number[1]}"]
    if found := LIBRARY_PARIS.fullmatch(plain):
        return f"PHercParis{found[1]}"
    if found := LIBRARY_NUMBER.fullmatch(plain):
        return f"PHerc{int(found[1]):04d}{found[2]}"
    return text


def folder_name(name: str) -> str:
    """The folder of a training item: "scroll/segment" as `<scroll>_<segment>`, any other name as it is.

    >>> folder_name("Scroll1/20230827161847"), folder_name("PHerc0139/w016"), folder_name("12")
    ('PHercParis4_20230827161847', 'PHerc0139_w016', '12')
    """
    if "/" not in name:
        return name
    scroll, _, segment = name.partition("/")
    return f"{scroll_name(scroll)}_{segment}"


def sound_item_name(text: str) -> str:
    """The name itself: of a folder, or "scroll/segment".

    Raises:
        ValueError: it is neither.
    """
    if "/" not in text:
        return sound_name(text)
    parts = text.split("/")
    if len(parts) != 2:
        raise ValueError(f"{len(parts)} parts between slashes; expected scroll/segment, such as PHerc0139/w016")
    for part in parts:
        sound_name(part)
    sound_name(folder_name(text))
    return text


ItemName = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(sound_item_name)]
