#!/usr/bin/env bash
# Puts a real mail server (exim, as Debian builds it) into a folder of the project, for the tests of the email sink.
#
#   tests/receivers/smtp/install.sh [DIR]      default: .receivers at the root of the repository
#
# Packages are downloaded and checked by apt, and unpacked: nothing of the system changes, and no rights are needed. Of
# the libraries that exim needs those are taken that this machine lacks. A second run does nothing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

fail() {
  printf 'smtp/install.sh: %s\n' "$*" >&2
  exit 1
}

mkdir -p "${1:-$root/.receivers}"
receivers=$(cd "${1:-$root/.receivers}" && pwd)
target=$receivers/smtp
stamp=$target/.stamp
wanted=$(sha256sum <"${BASH_SOURCE[0]}")

if [[ -f $stamp && $(<"$stamp") == "$wanted" && -x $target/usr/sbin/exim4 ]]; then
  printf 'The mail server in %s is up to date.\n' "$target"
  exit 0
fi

for tool in apt-get dpkg; do
  command -v "$tool" >/dev/null || fail "there is no $tool. The mail server comes from packages of Debian; run the tests" \
    "there, or leave those of tests/sinks out."
done

# nss_wrapper tells exim of the user that it wants to be, who need not exist.
packages=(exim4-daemon-light libnss-wrapper)

missing() {
  apt-get install --print-uris -qq --yes --no-install-recommends "${packages[@]}" | awk '{ sub(/_.*/, "", $2); print $2 }'
}

if ! names=$(missing 2>/dev/null); then
  # A fresh machine has no lists of packages yet.
  apt-get update -qq || fail "apt-get update failed. Run it as root once, and then this script again."
  names=$(missing) || fail "apt knows no ${packages[*]}. They are in main of Debian 12."
fi

new=$receivers/.smtp.new
rm -rf "$new"
mkdir -p "$new/packages"
trap 'rm -rf "$new"' EXIT
printf 'Downloading the mail server: %s\n' "$(sort -u <<<"$names" | paste -sd ' ')"
# What is installed already is in no list of what is missing.
mapfile -t names < <(printf '%s\n' "${packages[@]}" "$names" | sed '/^$/d' | sort -u)
# Apt warns as root that its own user cannot write here; what it writes is checked either way.
download() {
  (cd "$new/packages" && apt-get download -qq "${names[@]}" 2>"$new/apt.log")
}
# Lists that are old name packages that are gone.
download || { apt-get update -qq && download; } || {
  cat "$new/apt.log" >&2
  fail "the packages cannot be downloaded"
}
for package in "$new"/packages/*.deb; do
  dpkg -x "$package" "$new/root"
done
# It runs as whoever starts it.
chmod u-s,g-s "$new/root/usr/sbin/exim4"
printf '%s\n' "$wanted" >"$new/root/.stamp"
rm -rf "$target"
mv "$new/root" "$target"
printf 'The mail server is in %s.\n' "$target"
