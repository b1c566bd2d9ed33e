#!/bin/sh
# install_debian.sh PACKAGE [OTHER...]: installs a package of Debian (as root) without letting it start a service, and
# the others, each if it can be installed.
# SIGTERM stops it where that is safe: at once while apt-get downloads, after the work while dpkg runs.
set -u
policy=/usr/sbin/policy-rc.d
ours='' apt='' stopping=''
# The output goes into a file: a pipe breaks under apt-get when its reader dies, and dpkg must not stop half-way.
log=$(mktemp) || exit 1
trap 'rm -f "$log"; [ -z "$ours" ] || rm -f "$policy"' EXIT
# apt-get ignores SIGHUP while dpkg runs; background jobs of sh ignore SIGINT.
trap 'stopping=1; [ -z "$apt" ] || kill -HUP "$apt" 2> /dev/null' HUP INT TERM

run() {
  [ -z "$stopping" ] || exit 1
  "$@" >> "$log" 2>&1 < /dev/null &
  apt=$!
  while :; do
    wait "$apt"
    code=$?
    kill -0 "$apt" 2> /dev/null || break # otherwise a signal ended the wait, not apt-get
  done
  apt=''
  [ -z "$stopping" ] || exit 1
  return "$code"
}

# noclobber makes this atomic; a policy that exists already is not ours and stays.
if (set -C && printf '#!/bin/sh\nexit 101\n' > "$policy") 2> /dev/null; then
  ours=1
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# One unreachable third-party source fails the update; the install shows whether that matters.
run apt-get -qq update
install() { run apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$1"; }
install "$1" || {
  code=$?
  cat "$log"
  exit "$code"
}
shift
for other; do install "$other" || true; done
