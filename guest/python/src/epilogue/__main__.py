"""The command `python -m epilogue`."""

from epilogue.build._cli import main

if __name__ == "__main__":
    main()
