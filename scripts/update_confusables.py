"""Write `src/mohist/guard/covert/confusable.tsv` anew from ICU's tables of UTS #39.

Run by hand after a new Unicode version, with PyICU installed (`pyicu-wheels`); nothing of Mohist needs PyICU at run time.
Kept are the characters beyond ASCII whose skeleton is of ASCII letters, digits and underscores, which is what can stand in an
identifier or a word in place of its letter; and ASCII's own, by which a word to compare with is brought into the same form.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import icu

TARGET = Path(__file__).resolve().parents[1] / "src" / "mohist" / "guard" / "covert" / "confusable.tsv"
SURROGATES = range(0xD800, 0xE000)

NOTICE = """\
# Characters that look like ASCII letters and digits: code point, skeleton. Modified from confusables.txt of Unicode {unicode}
# (UTS #39, https://www.unicode.org/Public/security/), read through ICU {icu}; written by scripts/update_confusables.py.
#
# UNICODE LICENSE V3 (SPDX: Unicode-3.0)
# COPYRIGHT AND PERMISSION NOTICE. Copyright (c) 1991-2024 Unicode, Inc.
# NOTICE TO USER: Carefully read the following legal agreement. BY DOWNLOADING, INSTALLING, COPYING OR OTHERWISE USING DATA FILES,
# AND/OR SOFTWARE, YOU UNEQUIVOCALLY ACCEPT, AND AGREE TO BE BOUND BY, ALL OF THE TERMS AND CONDITIONS OF THIS AGREEMENT. IF YOU DO
# NOT AGREE, DO NOT DOWNLOAD, INSTALL, COPY, DISTRIBUTE OR USE THE DATA FILES OR SOFTWARE.
# Permission is hereby granted, free of charge, to any person obtaining a copy of data files and any associated documentation
# (the "Data Files") or software and any associated documentation (the "Software") to deal in the Data Files or Software without
# restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, and/or sell copies of the
# Data Files or Software, and to permit persons to whom the Data Files or Software are furnished to do so, provided that either
# (a) this copyright and permission notice appear with all copies of the Data Files or Software, or (b) this copyright and
# permission notice appear in associated Documentation.
# THE DATA FILES AND SOFTWARE ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
# THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT OF THIRD PARTY RIGHTS. IN NO EVENT SHALL
# THE COPYRIGHT HOLDER OR HOLDERS INCLUDED IN THIS NOTICE BE LIABLE FOR ANY CLAIM, OR ANY SPECIAL INDIRECT OR CONSEQUENTIAL DAMAGES,
# OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
# TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THE DATA FILES OR SOFTWARE.
# Except as contained in this notice, the name of a copyright holder shall not be used in advertising or otherwise to promote the
# sale, use or other dealings in these Data Files or Software without prior written authorization of the copyright holder.
"""


def main() -> int:
    checker = icu.SpoofChecker()
    rows = []
    for point in range(0x21, 0x110000):
        if point in SURROGATES or icu.Char.charType(point) == 0:
            continue
        skeleton = checker.getSkeleton(0, chr(point))
        if re.fullmatch("[0-9A-Za-z_]+", skeleton) and skeleton != chr(point):
            rows.append(f"{point:04X}\t{skeleton}\n")
    notice = NOTICE.format(unicode=icu.UNICODE_VERSION, icu=icu.ICU_VERSION)
    TARGET.write_text(notice + "".join(rows), encoding="utf-8")
    print(f"{len(rows)} characters in {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
