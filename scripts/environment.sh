#!/bin/sh
# Finds a Python and makes .venv with it; run in the folder of the project. POSIX sh alone, since nothing is installed yet.
#   sh scripts/environment.sh find [PYTHON]   print the interpreter: PYTHON if it is given, else the first on PATH that suits
#   sh scripts/environment.sh make [PYTHON]   make .venv, unless it is sound and of that interpreter
#   sh scripts/environment.sh stale [PYTHON]  print "stale" where `make` would make it
# Which versions suit is said by requires-python in pyproject.toml. Exit code 1 after one line that says what is needed.
range=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml)
least=${range% *} past=${range#* }
needed="3.$least to 3.$((past - 1))"
about='import sys
try:
    import ensurepip, venv
    kind = "whole"
except ImportError:
    kind = "bare"
print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], kind))'
version='import importlib.util, sys; print(sys.version if importlib.util.find_spec("pip") else "no pip")'

no() { echo "error: $*" >&2; exit 1; }

# "3.12 whole" of a Python that can make environments, "3.12 bare" of one that cannot, nothing where it does not run
ask() { "$1" -c "$about" 2>/dev/null </dev/null; }

suits() {
    minor=${1#3.}; minor=${minor%%[!0-9]*}
    case $1 in 3.[0-9]*) [ "$minor" -ge "$least" ] && [ "$minor" -lt "$past" ] ;; *) false ;; esac
}

names() {
    minor=$least
    while [ "$minor" -lt "$past" ]; do echo "python3.$minor"; minor=$((minor + 1)); done
    echo python3 python
}

search() {  # python, said: the first that suits and is whole, else the first that suits
    python='' said=''
    for name in $(names); do
        rest=$PATH:
        while [ -n "$rest" ]; do
            candidate=${rest%%:*}/$name; rest=${rest#*:}
            [ -x "$candidate" ] && answer=$(ask "$candidate") && suits "$answer" || continue
            [ -n "$python" ] || python=$candidate said=$answer
            case $answer in *whole) python=$candidate said=$answer; return ;; esac
        done
    done
}

choose() {  # python, said: the one that is requested, else one that is found; python is empty where there is none
    if [ -z "$1" ]; then search; return; fi
    python=$1 said=$(ask "$1")
    [ -n "$said" ] || no "PYTHON=$1 does not run; give a Python $needed, or leave PYTHON= out and one is looked for"
    suits "$said" || no "PYTHON=$1 is Python ${said% *}; give a Python $needed, or leave PYTHON= out and one is looked for"
}

need_python() {
    [ -n "$python" ] || no "no Python $needed on PATH; macOS: brew install python@3.13; Debian, Ubuntu: sudo apt install" \
        "python3-venv; anywhere: uv (docs.astral.sh/uv), which then brings one; one elsewhere: PYTHON=/path/to/python3.13"
    case $said in *bare) no "$python has no ensurepip, so it cannot make an environment; Debian, Ubuntu: sudo apt install" \
        "python${said% *}-venv (or python3-venv), then the same command again" ;; esac
}

is_sound() {
    [ -x .venv/bin/python ] || return 1
    now=$(.venv/bin/python -c "$version" 2>/dev/null)
    [ "$now" != "no pip" ] && suits "$now" || return 1
    [ -z "$1" ] || [ "$now" = "$("$1" -c 'import sys; print(sys.version)' 2>/dev/null)" ]
}

make_environment() {
    choose "$1"
    if [ "${said#* }" != whole ] && command -v uv >/dev/null; then
        rm -rf .venv && exec uv venv --quiet --seed --python "${python:-3.$least}" .venv
    fi
    need_python
    rm -rf .venv && exec "$python" -m venv .venv
}

case $1 in
find) choose "$2" && need_python && echo "$python" ;;
make) is_sound "$2" || make_environment "$2" ;;
stale) is_sound "$2" || echo stale ;;
*) no "expected find, make or stale" ;;
esac
