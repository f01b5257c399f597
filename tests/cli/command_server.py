"""Runs `perdure` command lines in processes of their own that have the imports done already: most of a command's time.

Reads one request a line, a JSON object of `argv`, `cwd`, `env` and the paths `stdin`, `stdout` and `stderr`; answers with
the exit code. No command has run in this process, so nothing but modules is inherited.
"""

import json
import os
import sys

import perdure.cli.app
import perdure.cli.decisions
import perdure.cli.doctor
import perdure.cli.history
import perdure.cli.run
import perdure.cli.setup
import perdure.cli.threads  # noqa: F401
from perdure.cli import main

while line := sys.stdin.readline():
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        os.dup2(os.open(request["stdin"], os.O_RDONLY), 0)
        os.dup2(os.open(request["stdout"], os.O_WRONLY), 1)
        os.dup2(os.open(request["stderr"], os.O_WRONLY), 2)
        sys.argv = ["perdure", *request["argv"]]
        main()
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
