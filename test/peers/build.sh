#!/usr/bin/env bash
# Builds the peers that tests and benchmarks meet: kopia and restic, and the S3 servers versitygw and minio, each from its
# own go.mod, so that the versions and their checksums are pinned here. The programs land in a cache folder and are
# built once per version.
# `kopia-clock` is kopia as its own tests build it: it takes the time from $KOPIA_FAKE_CLOCK_ENDPOINT.
# Usage: test/peers/build.sh [kopia] [kopia-clock] [restic] [versitygw] [minio]      (default: all; needs Go)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/drayage/peers
mkdir -p "$cache"

# Prints the version of $1 that go.mod pins.
pinned() { sed -nE "s#^require $1 (v[0-9a-f.-]+)\$#\1#p" "$here/$2/go.mod"; }

# build NAME MODULE PACKAGE [FOLDER [TAGS]]      FOLDER has the go.mod, NAME unless told
build() {
  local name=$1 module=$2 package=$3 folder=${4:-$1} tags=${5:-} want
  want=$(pinned "$module" "$folder")
  [ -n "$want" ] || { echo "build.sh: $folder/go.mod pins no $module" >&2; return 1; }
  # Go writes the module's version into the program, so the file itself says what it is.
  if [ -x "$cache/$name" ] && go version -m "$cache/$name" 2>/dev/null | grep -qE "^[[:space:]]+(mod|dep)[[:space:]]+$module[[:space:]]+$want([[:space:]]|\$)"; then
    echo "$name $want: already built"
    return
  fi
  echo "$name $want: building"
  (cd "$here/$folder" && CGO_ENABLED=0 go build -tags "$tags" -trimpath -mod=readonly -o "$cache/$name.partial" "$package")
  mv "$cache/$name.partial" "$cache/$name"
}

command -v go >/dev/null || { echo "build.sh: Go is not installed" >&2; exit 1; }
[ $# -gt 0 ] || set -- kopia kopia-clock restic versitygw minio
for name in "$@"; do
  case $name in
    kopia) build kopia github.com/kopia/kopia github.com/kopia/kopia ;;
    kopia-clock) build kopia-clock github.com/kopia/kopia github.com/kopia/kopia kopia testing ;;
    restic) build restic github.com/restic/restic github.com/restic/restic/cmd/restic ;;
    versitygw) build versitygw github.com/versity/versitygw github.com/versity/versitygw/cmd/versitygw ;;
    minio) build minio github.com/minio/minio github.com/minio/minio ;;
    *) echo "build.sh: no peer called $name" >&2; exit 2 ;;
  esac
done
