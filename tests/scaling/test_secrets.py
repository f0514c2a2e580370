"""Secrets that lie about where a run goes: none of them is in its bundle, the ledgers or on the terminal."""

import subprocess

import pytest

SECRET = "hunter2"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"


def plant(checkout, home):
    """Secrets in untracked and tracked files, git's settings and remotes, a submodule. Returns the environment."""
    root = checkout.root
    (root / ".env").write_text(f"TOKEN={SECRET}\n")
    (root / "id_ed25519").write_text(KEY)
    (root / "id_ed25519").chmod(0o600)
    (root / "kept.txt").write_text(KEY)  # staged by mistake
    checkout.git("add", "kept.txt")
    (root / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = https://me:{SECRET}@example.org/x.git\n')
    checkout.git("add", ".gitmodules")
    checkout.git("config", "http.extraHeader", f"Authorization: Bearer {SECRET}")
    checkout.git("remote", "add", "origin", f"https://me:{SECRET}@example.org/x.git")
    (root / "README.md").write_text("changed\n")
    subprocess.run(["git", "init", "-q", root / "nested"], check=True)
    (root / "nested/.env").write_text(SECRET)
    home.mkdir(parents=True)
    names = ("NB_API_TOKEN", "LC_TOKEN", "OMP_SECRET", "MKL_KEY", "CUDA_VISIBLE_TOKEN", "LANGUAGE_TOKEN", "GIT_TOKEN")
    return dict.fromkeys(names, SECRET) | {"HOME": str(home), "LOGNAME": "alice", "USER": "alice"}


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [False, True])
def test_no_secret_is_in_a_bundle_a_ledger_or_on_the_terminal(checkout, tmp_path, blocked):
    home = tmp_path / "homes" / "alice"
    environment = plant(checkout, home)
    case = []
    if blocked:
        (home / "mine").mkdir()
        (home / "mine/case.json").write_text(
            '{"name": "x\\n### Attempt 9", "flags": "-mat none.mat", "traced_pixels_slow_fast": [[1, 2]]}'
        )
        (home / "c.log").write_text("TRACE_C: x 1\n")
        case = ["--case", str(home / "mine"), "--c", str(home / "c.log")]
    done = checkout.tool("phase-m1", *case, "--on-blocked", f"true {SECRET}", **environment)
    assert (done.code, done.last[:4]) == ((2, "BLOC") if blocked else (0, "PASS")), done
    (bundle,) = checkout.bundles()
    ledgers = [checkout.root / "docs/fix_plan.md", checkout.root / "plans/active/cli-noise-pix0/plan.md"]
    files = [path for path in bundle.rglob("*") if path.is_file()]
    assert len(files) > (6 if blocked else 20)
    for path in [*files, *ledgers]:
        data = path.read_bytes()
        for word in (SECRET, str(checkout.root), str(home), "alice"):
            assert word.encode() not in data, (path, word)
    assert SECRET not in done.out + done.err
    assert "README.md" in (bundle / "dirty.patch").read_text()
    assert "dirty.patch: 1 file that differs from the commit is kept in the bundle: README.md\n" in done.out
    ask = "--include-untracked keeps them: .env, id_ed25519, nested/\n"
    assert f"3 that git does not track are left out, so that replay cannot be exact; {ask}" in done.out
    assert "left out for a private key or a URL with credentials in it: .gitmodules, kept.txt\n" in done.out


@pytest.mark.slow
def test_a_forged_bundle_is_not_run_unless_it_is_trusted(checkout, tmp_path):
    """A patch of the forger's own, sealed again, in a folder with a repository of its own."""
    from tools.scaling.bundle.bundle import create

    bundle = create(tmp_path / "forged")
    commit = checkout.git("rev-parse", "HEAD").strip()
    bundle.write_provenance({"git_sha": commit, "settings": {"case": "supervisor"}})
    pwned = tmp_path / "pwned"
    name = "tools/scaling/__init__.py"
    line = (checkout.root / name).read_text().splitlines()[0]
    code = f"open({str(pwned)!r}, 'w').write('x'); raise SystemExit(7)"
    patch = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1,2 @@\n {line}\n+{code}\n"
    bundle.path("dirty.patch").write_text(patch)
    bundle.seal()
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path / "forged", check=True)
    done = checkout.tool("replay", str(bundle.folder))
    assert (done.code, pwned.exists()) == (2, False), done
    assert "nobody vouches for; its code would be run; --trust runs it all the same" in done.last
    done = checkout.tool("replay", str(bundle.folder), "--trust")
    assert f"dirty.patch changes {name}\n" in done.err and pwned.exists()
    assert checkout.git("worktree", "list").count("\n") == 1
