"""`python -m nanobragg_torch FLAGS`."""

from nanobragg_torch.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
