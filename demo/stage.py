# SPDX-License-Identifier: BSD-3-Clause
"""How a demo is put on, and how it ends, whatever happens."""

from lab import Lab, LabError
from screen import Screen


def put_on(name, folder, story):
    """Calls 'story' with a lab in 'folder' and a screen; it returns a report whose "ok" decides.
    Returns the exit status of the demo 'name'."""
    screen = Screen()
    try:
        with Lab(folder) as lab:
            (lab.folder / "report.json").unlink(missing_ok=True)
            report = story(lab, screen)
    except (LabError, TimeoutError, OSError) as error:
        screen.settle()
        screen.line(f"{name}: {error}")
        screen.line(f"{name}: logs are in {folder}")
        return 1
    except KeyboardInterrupt:
        screen.settle()
        screen.line(f"{name}: interrupted; everything is stopped")
        return 130
    return 0 if report["ok"] else 1
