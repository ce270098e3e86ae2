"""What tidegate and the installed nginx say of the same configuration, with `-t`."""

import subprocess

from tidegate.config.load import load

MARKS = ("nginx: [emerg] ", "nginx: [warn] ")


def said_of(folder, text, *, directives=""):
    """Ours and nginx's words, and whether nginx takes the file; `directives` are nginx's alone.

    Errors, of which nginx has one, and warnings. `folder` is FOLDER in the words, the file FILE.
    """
    file = folder / "test.conf"
    file.write_text(text)

    def plain(words):
        return words.replace(f"{folder}/test.conf", "FILE").replace(str(folder), "FOLDER")

    command = ["nginx", "-t", "-p", folder, "-e", folder / "logs/error.log", "-c", file]
    done = subprocess.run(
        [*command, "-g", f"{directives} pid {folder}/nginx.pid;"],
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = [
        plain(line.partition("] ")[2])
        for line in done.stderr.splitlines()
        if line.startswith(MARKS)
    ]
    ours = []
    for problem in load(str(file), prefix=str(folder)).problems:
        ours.append(plain(problem.words))
        if problem.fatal:
            break
    return ours, theirs, done.returncode == 0
