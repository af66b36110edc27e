#!/bin/sh
# Bring a bare machine to where `make` can work. Whatever is already there is left alone.
#
#   bootstrap.sh venv DIR REQUIREMENT   make a virtual environment and install into it
#   bootstrap.sh desktop                the system libraries that Qt windows need
#   bootstrap.sh virtual-screen         the same, and Xvfb to show windows without a screen
#
# System packages come from apt, with sudo where needed. On a Linux without apt it names
# what to install; macOS and Windows need nothing.
# Lists of packages are split into words on purpose.
# shellcheck disable=SC2086
set -eu

QT_PACKAGES="libdbus-1-3 libegl1 libfontconfig1 libgl1 libglib2.0-0 libxcb-cursor0
libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
libxcb-shape0 libxkbcommon-x11-0"
SCREEN_PACKAGES="libgl1-mesa-dri xauth xvfb"

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# Newer Debian and Ubuntu renamed some libraries: libglib2.0-0 is libglib2.0-0t64 there.
is_installed() {
    dpkg-query --show --showformat='${Status}\n' "$1" "$1t64" 2>/dev/null |
        grep -q 'ok installed'
}

install_packages() {
    missing=""
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0

    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            fail "These system packages are missing; please ask an administrator to run:" \
                "apt-get install$missing"
        as_root="sudo"
    fi
    say "Installing system packages:$missing"
    apt_get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq"
    # A bare machine has no package lists yet. One broken third-party source must not
    # stop us, so only the install itself decides.
    $apt_get update </dev/null || say "apt-get update failed; trying with the old lists."
    $apt_get install -y --no-install-recommends $missing </dev/null >/dev/null ||
        fail "apt-get could not install:$missing"
}

has_apt() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1
}

is_linux() {
    [ "$(uname -s)" = Linux ]
}

# A demo without a display writes pictures and opens no window.
has_display() {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]
}

desktop() {
    is_linux && has_display || return 0
    # Without apt the libraries may well be there: a desktop usually has them, and Qt
    # itself names the one it misses.
    if has_apt; then install_packages $QT_PACKAGES; fi
}

virtual_screen() {
    is_linux || return 0
    if has_apt; then
        install_packages $QT_PACKAGES $SCREEN_PACKAGES
    elif ! command -v xvfb-run >/dev/null 2>&1; then
        fail "Please install xvfb-run (Fedora: xorg-x11-server-Xvfb, Arch:" \
            "xorg-server-xvfb) and the X11 and OpenGL libraries of Qt 6, then run make again."
    fi
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11 or newer."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer was found; please install one (Debian, Ubuntu:" \
        "apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12"
}

# Debian's Python comes without the part of venv that installs pip.
ensure_venv_module() {
    if "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then return; fi
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    has_apt || fail "Python $version lacks its venv module; please install it and run make again."
    install_packages "python$version-venv"
}

venv() {
    directory=$1
    requirement=$2
    python=$(find_python)
    inside="$directory/bin/python"
    case "$(uname -s)" in MINGW* | MSYS* | CYGWIN*) inside="$directory/Scripts/python" ;; esac
    if ! is_new_enough "$inside" || ! "$inside" -m pip --version >/dev/null 2>&1; then
        ensure_venv_module "$python"
        say "Making $directory with $("$python" --version)"
        "$python" -m venv --clear "$directory"
    fi
    say "Installing $requirement (PyTorch is large: the first time takes some minutes)"
    quiet=""
    [ -t 1 ] || quiet="--quiet"
    "$inside" -m pip install $quiet --disable-pip-version-check \
        --editable "$requirement" </dev/null
}

case "${1:-}" in
venv) venv "$2" "$3" ;;
desktop) desktop ;;
virtual-screen) virtual_screen ;;
*) fail "usage: bootstrap.sh venv DIR REQUIREMENT | desktop | virtual-screen" ;;
esac
