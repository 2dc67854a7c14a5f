#!/usr/bin/env bash
# Fetches what alerts and metrics go to, for the tests: Prometheus with promtool, and Alertmanager, as Debian packages.
#
#   tests/receivers/install.sh [DIR]      default: .receivers at the root of the repository
#
# The packages are unpacked into DIR/packages and called by DIR/bin: nothing is installed in the system, and no service
# starts. A second run does nothing. If POLYWATCH_RECEIVERS names a folder with the binaries prometheus,
# promtool and alertmanager, nothing is fetched: for machines that are not Debian.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=${1:-$root/.receivers}

# what tests call, package, its binary
programs=(
  "prometheus|prometheus|prometheus"
  "promtool|prometheus|promtool"
  "alertmanager|prometheus-alertmanager|prometheus-alertmanager"
)

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# The mail server has a script of its own.
mail() {
  if [[ -x $here/smtp/install.sh ]]; then
    "$here/smtp/install.sh"
  fi
}

# Ready binaries, as KUBEBUILDER_ASSETS does it for the control plane: say what is missing, fetch nothing.
if [[ -n ${POLYWATCH_RECEIVERS:-} ]]; then
  missing=()
  for program in "${programs[@]}"; do
    [[ -x $POLYWATCH_RECEIVERS/${program%%|*} ]] || missing+=("${program%%|*}")
  done
  if ((${#missing[@]})); then
    fail "POLYWATCH_RECEIVERS=$POLYWATCH_RECEIVERS has no ${missing[*]}." \
      "Put them there (https://prometheus.io/download has prometheus, promtool and alertmanager)," \
      "or unset POLYWATCH_RECEIVERS to fetch them as Debian packages."
  fi
  printf 'Using the receivers in POLYWATCH_RECEIVERS=%s; nothing to fetch.\n' "$POLYWATCH_RECEIVERS"
  mail
  exit 0
fi

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
bin=$dir/bin
stamp=$dir/.stamp

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

is_installed() {
  [[ -f $stamp && $(<"$stamp") == "$(sha256 <"$here/install.sh")" ]] || return 1
  local program
  for program in "${programs[@]}"; do
    [[ -x $bin/${program%%|*} ]] || return 1
  done
}

if is_installed; then
  printf 'The receivers in %s are up to date.\n' "$dir"
  mail
  exit 0
fi

for command in apt-get apt-cache dpkg; do
  command -v "$command" >/dev/null ||
    fail "$command is not installed: this is not Debian nor a relative of it. Download Prometheus and Alertmanager" \
      "(https://prometheus.io/download), put prometheus, promtool and alertmanager into one folder, and name it in" \
      "POLYWATCH_RECEIVERS."
done

# apt-get knows no package before its lists are fetched, as on a fresh machine or in a container.
known() {
  apt-cache show "$1" >/dev/null 2>&1
}

update() {
  printf 'Fetching the lists of packages: apt-get update\n'
  ((EUID == 0)) || fail "the lists of packages are missing or old. Run: sudo apt-get update; then run this again."
  apt-get -qq update || fail "apt-get update failed. Check the network and /etc/apt/sources.list, then run this again."
}

download() {
  # As the user who calls: the one that apt takes instead may not write here.
  apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1"
}

# Debian's Alertmanager reads its templates from a fixed folder, which is not there as long as nothing is installed. In
# our copy that folder is an open file of the process, and the script that calls it opens the folder where it is. Both
# names have the same length, so nothing else moves.
relocate() {
  local binary=$1 fixed=/usr/share/prometheus/alertmanager open=/proc/self/fd/9
  local size
  LC_ALL=C grep -aqF "$fixed" "$binary" || return 0
  while ((${#open} < ${#fixed})); do open+=/; done
  size=$(wc -c <"$binary")
  LC_ALL=C sed -i "s|$fixed|$open|g" "$binary"
  (($(wc -c <"$binary") == size)) || fail "$binary could not be changed. Please report this; until then set POLYWATCH_RECEIVERS."
}

rm -f "$stamp"
work=$dir/.download
packages=$dir/packages.new
rm -rf "$work" "$packages"
mkdir -p "$work" "$packages" "$bin"
cd "$work"

mapfile -t names < <(printf '%s\n' "${programs[@]}" | cut -d '|' -f 2 | sort -u)
number=0
updated=
for name in "${names[@]}"; do
  number=$((number + 1))
  label="[$number/${#names[@]}] $name"
  if ! known "$name"; then
    update
    updated=1
    known "$name" ||
      fail "no package source offers $name. Add the main archive of Debian or Ubuntu to /etc/apt, or set" \
        "POLYWATCH_RECEIVERS to a folder of ready binaries."
  fi
  printf '%s: fetching\n' "$label"
  # Old lists name packages that the archive has no more.
  if ! download "$name"; then
    [[ -z $updated ]] || fail "$name could not be fetched. Check the network, then run this again."
    update
    updated=1
    download "$name" || fail "$name could not be fetched. Check the network, then run this again."
  fi
  dpkg -x "$name"_*.deb "$packages" || fail "$name could not be unpacked. Is the disk full? Then run this again."
  printf '%s: done\n' "$label"
done

rm -rf "$dir/packages"
mv "$packages" "$dir/packages"
rm -rf "$work"
cd "$dir"
for program in "${programs[@]}"; do
  IFS='|' read -r name package binary <<<"$program"
  [[ -x packages/usr/bin/$binary ]] ||
    fail "the package $package has no usr/bin/$binary. Set POLYWATCH_RECEIVERS to a folder of ready binaries."
  rm -f "bin/$name"
  if [[ $name == alertmanager ]]; then
    relocate "packages/usr/bin/$binary"
    cat >"bin/$name" <<CALL
#!/bin/sh
packages=\$(dirname "\$0")/../packages
exec "\$packages/usr/bin/$binary" "\$@" 9<"\$packages/usr/share/prometheus/alertmanager"
CALL
    chmod +x "bin/$name"
  else
    ln -s "../packages/usr/bin/$binary" "bin/$name"
  fi
  "bin/$name" --version >"$dir/.version" 2>&1 ||
    fail "$name does not run here: $(head -n 1 "$dir/.version"). Set POLYWATCH_RECEIVERS to a folder of binaries that do."
  printf '%s\n' "$(head -n 1 "$dir/.version")"
done
rm -f "$dir/.version"

sha256 <"$here/install.sh" >"$stamp"
printf 'The receivers are ready in %s (%s s)\n' "$dir" "$SECONDS"
mail
