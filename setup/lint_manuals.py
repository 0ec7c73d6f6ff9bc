#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Are the manuals well-formed, and do they, and bash's completion, have whatever the code knows?

Devargs, options, commands, variables, keys of the database and reasons of policy are taken from the sources, so
that a new one without its place in a manual is told here, as `manual: what is missing`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "docs/man"


def read(pattern):
    """All that files of this pattern hold, without line continuations of strings."""
    found = sorted(ROOT.glob(pattern))
    if not found:
        sys.exit(f"lint: {pattern} names no file any more: say in setup/lint_manuals.py where it went")
    return re.sub(r'"\s*\n\s*"', "", "\n".join(path.read_text() for path in found))


def within(text, start, end):
    """The part of 'text' between two expressions."""
    found = re.search(start + r"(.*?)" + end, text, re.DOTALL)
    if not found:
        sys.exit(f"lint: /{start}/ is not in the sources any more: say in setup/lint_manuals.py what it is now")
    return found[1]


def words(what, found, least):
    """The words that were found; fewer than there are known to be means that we look at the wrong place."""
    found = sorted(set(found))
    if len(found) < least:
        sys.exit(f"lint: only {len(found)} of at least {least} {what} are found: mend setup/lint_manuals.py")
    return found


def long_options(pattern, least, start=r"struct option \w*long_options\[\] = \{"):
    return words(f"options in {pattern}",
                 re.findall(r'\{"([a-z-]+)", \w+_argument', within(read(pattern), start, r"\{NULL, 0")), least)


def roff(page):
    """The manual without macros' escapes, so that a word is a word."""
    return (MAN / page).read_text().replace("\\&", "")


def said(text, kind, word):
    """Is 'word' there as 'kind' says: an option, or any word of a macro line?"""
    if kind == "option":
        return re.search(rf"\bFl -{re.escape(word)}(?![\w-])", text)
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)


def demands():
    """(page, kind, word): what each manual has to have."""
    for word in words("devargs", re.findall(r'"(\w+)"', within(read("pmd/vdev.c"), r"known\[\] = \{", r"\};")), 11):
        yield "net_highway.7", "word", f"It Cm {word} Ns ="
    completion = "../../cli/highwayctl.bash"
    for word in long_options("cli/main.c", 9):
        yield "highwayctl.1", "option", word
        yield completion, "word", f"--{word}"
    for word in words("commands", re.findall(r'\{"(\w+)", hwy_cmd_', read("cli/main.c")), 10):
        yield "highwayctl.1", "word", word
        yield completion, "word", word
    for word in long_options("traffic/options.c", 30):
        yield "highway-traffic.1", "option", word
    for word in long_options("agent/highwayd.c", 3):
        yield "highwayd.8", "option", word
    for page, sources in (("highwayctl.1", "cli/*.c"), ("highwayd.8", "agent/*.c")):
        for word in words("variables", re.findall(r'getenv\("(\w+)"\)', read(sources)), 2):
            yield page, "word", word
    agent = read("agent/*.c")
    for word in words("keys", re.findall(r'"(highway-[a-z-]+)"', agent), 5):
        yield "highwayd.8", "word", word
    for word in words("commands", re.findall(r'unixctl_command_register\(\s*"([\w/-]+)"', agent) +
                      re.findall(r'^\t\t\{"(\w+)", "[^"]*", \d', agent, re.MULTILINE), 1):
        yield "highwayd.8", "word", word
    policy = dict(re.findall(r'\[(HWY_POLICY_\w+)\] = "([\w-]+)"', agent))
    for code in words("reasons", re.findall(r"hwy_policy_add\(\w+, (HWY_POLICY_\w+)", agent), 8):
        yield "highwayd.8", "word", f"It Cm {policy[code]}"


def main():
    troubles = []
    for page in sorted(MAN.glob("*.[1-8]")):
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True)
        troubles += done.stdout.replace(str(ROOT) + "/", "").splitlines() + done.stderr.splitlines()
    count = 0
    for page, kind, word in demands():
        count += 1
        if not said(roff(page), kind, word):
            where = (MAN / page).resolve().relative_to(ROOT)
            troubles.append(f"{where}: {'--' if kind == 'option' else ''}{word} is not in it")
    # highwayd complains of keys that are not in its own table.
    table = read("agent/keys.c")
    for word in sorted(set(re.findall(r'"(highway-[a-z-]*[a-z])"', read("agent/*.c")))):
        if f'{{"{word}"' not in table:
            troubles.append(f"agent/keys.c: {word}, which another file of agent/ reads, is not in its table")
    # The other way round: what the manual of the keys names must be known to the code.
    known = read("agent/*.c")
    for word in sorted(set(re.findall(r"highway-[a-z-]*[a-z]", within(roff("highwayd.8"), r"\.Sh CONFIGURATION", r"\.Sh ")))):
        if f'"{word}"' not in known and f'"{word[8:]}"' not in known:
            troubles.append(f"docs/man/highwayd.8: {word} is in it, but agent/ does not read it")
    for trouble in troubles:
        print(trouble)
    if not troubles:
        print(f"{count} words of the code are in their manuals")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
