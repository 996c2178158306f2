#!/usr/bin/env bash
# Puts a `qemu-storage-daemon` that speaks NBD's extended headers (QEMU 8.2 and later) into the cache of peers, beside an older one
# that is installed: from the backports of this Debian, by the machine's own sources and keys. Nothing is installed, and apt's own state is not touched.
# Usage: test/peers/fetch-qemu.sh
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/drayage/peers
extended() {
  local major minor
  read -r major minor < <("$1" --version 2>/dev/null | sed -nE 's/.*version ([0-9]+)\.([0-9]+).*/\1 \2/p')
  [ -n "${major:-}" ] && [ $((major * 100 + minor)) -ge 802 ]
}
for program in "$cache/qemu-storage-daemon" "$(command -v qemu-storage-daemon || true)"; do
  if [ -x "$program" ] && extended "$program"; then
    echo "$program speaks extended headers"
    exit
  fi
done

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$cache"
# The stanza of the release itself, for its backports.
awk -v RS= -v ORS='\n\n' -v suite="$codename" '$0 ~ "(^|\n)Suites:[^\n]* ?" suite "( |\n)" { sub(/Suites:[^\n]*/, "Suites: " suite "-backports"); print; exit }' \
  /etc/apt/sources.list.d/*.sources >"$work/backports.sources"
options=(-qq -o "Dir::Etc::sourcelist=$work/backports.sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download "qemu-utils/$codename-backports" && dpkg -x ./qemu-utils_*.deb unpacked)
extended "$work/unpacked/usr/bin/qemu-storage-daemon" || { echo 'fetch-qemu.sh: the backports have no QEMU of 8.2 or later' >&2; exit 1; }
mv "$work/unpacked/usr/bin/qemu-storage-daemon" "$cache/qemu-storage-daemon"
echo "$("$cache/qemu-storage-daemon" --version | head -1): fetched"
