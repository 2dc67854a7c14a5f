#!/usr/bin/env bash
# Becomes a mail server on 127.0.0.1 that keeps what it is sent in Maildirs.
#
#   tests/receivers/smtp/start.sh STATE LOGS PORT TLS_PORT [DIR]
#
# PORT begins in the clear and offers STARTTLS, TLS_PORT is encrypted from the beginning. STATE has, before:
#
#   tls.crt, tls.key   certificate and key
#   users              a line "NAME: PASSWORD" for each who may log in, and only when encrypted
#   mailboxes          a line "NAME: NAME" for each mailbox of the domain mail.test
#
# and after: mail/NAME/new/*, a file for each message. DIR is where install.sh was told to install to.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
state=$(cd "$1" && pwd)
logs=$(cd "$2" && pwd)
program=$(cd "${5:-$root/.receivers}" && pwd)/smtp

fail() {
  printf 'smtp/start.sh: %s\n' "$*" >&2
  exit 1
}

[[ -x $program/usr/sbin/exim4 ]] || fail "there is no mail server in $program: run tests/receivers/smtp/install.sh"
mkdir -p "$state/spool" "$state/mail"

# Exim refuses to deliver as root, so root is somebody else in here.
as=()
uid=$(id -u)
gid=$(id -g)
if ((uid == 0)); then
  uid=1000 gid=1000
  as=(unshare --user "--map-user=$uid" "--map-group=$gid")
  "${as[@]}" true || fail "root may make no user namespaces here: run the tests as another user"
fi
printf 'root:x:0:0::/:/bin/false\nDebian-exim:x:%s:%s::/:/bin/false\n' "$uid" "$gid" >"$state/passwd"
printf 'root:x:0:\nDebian-exim:x:%s:\n' "$gid" >"$state/group"
sed -e "s#@STATE@#$state#g" -e "s#@LOGS@#$logs#g" -e "s#@PROGRAM@#$program#g" -e "s#@PORT@#$3#g" -e "s#@TLS_PORT@#$4#g" \
  "$here/exim.conf" >"$state/exim.conf"

libraries=("$program"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH=${libraries[0]}
export NSS_WRAPPER_PASSWD=$state/passwd NSS_WRAPPER_GROUP=$state/group
# Nothing stands between: whoever ends this process ends the server.
exec ${as[@]+"${as[@]}"} env LD_PRELOAD=libnss_wrapper.so "$program/usr/sbin/exim4" -C "$state/exim.conf" -bdf
