"""Starts a person's notebook server, as that person: makes their folders ready, then becomes the server."""

import os
import pathlib
import shutil
import sys


def prepare(home: pathlib.Path) -> None:
    """Make in the home folder what a person finds there: the mesh's notebooks, read-only, and a dbt project."""
    (home / ".tmp").mkdir(mode=0o700, exist_ok=True)
    shown, at = os.environ.get("MESH_NOTEBOOKS"), home / "mesh"
    if shown and (at.is_symlink() or not at.exists()):
        if at.is_symlink() and os.readlink(at) != shown:
            at.unlink()
        if not at.is_symlink():
            at.symlink_to(shown)
    project, own = os.environ.get("MESH_DBT_PROJECT"), home / "dbt_projects"
    if project and not own.exists():
        half = home / ".dbt_projects.new"
        shutil.rmtree(half, ignore_errors=True)
        # Not the notebooks, nor the rights of the original: a person's copy is theirs to change.
        shutil.copytree(project, half, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("notebooks", "target", "logs"))
        for folder, _, files in os.walk(half):
            os.chmod(folder, 0o700)
            for name in files:
                os.chmod(os.path.join(folder, name), 0o600)
        half.rename(own)


def main() -> None:
    """Prepare the home folder and run jupyterhub-singleuser in this process."""
    os.umask(0o077)
    home = pathlib.Path(os.environ["HOME"])
    try:
        prepare(home)
    except OSError as e:
        # A full disk: the server may still start, and its owner remove something.
        print(f"meesh.start: the home folder could not be made ready: {e}", file=sys.stderr, flush=True)
    log = os.environ.get("MESH_SERVER_LOG")
    if log:
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
        except OSError as e:
            print(f"meesh.start: no log of one's own: {e}", file=sys.stderr, flush=True)
    os.chdir(home)
    config = pathlib.Path(__file__).with_name("server_config.py")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", f"--config={config}", *sys.argv[1:]])


if __name__ == "__main__":
    main()
