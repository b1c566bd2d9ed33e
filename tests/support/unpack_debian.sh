#!/bin/sh
# unpack_debian.sh SUITE DIR PACKAGE...: fetches packages of a suite of Debian (forky, trixie, ...) with all their
# dependencies, including libc, and unpacks them into the folder DIR. Nothing is installed; no root, mount or chroot is
# needed. The packages are rabbitmq-server, or redis-server and valkey-server, or one of these two.
# DIR/bin has rabbitmq-server, rabbitmqctl, epmd, erl_call and erl, and DIR/version is the version; or DIR/bin has
# redis-server and valkey-server.
#
# unpack_debian.sh own DIR PACKAGE: fetches a package of the suite that this machine runs, with those of its
# dependencies that are not installed, and unpacks them into DIR/root.
#
# If DIR exists, it is complete: it is built under another name and renamed. Of several scripts that run at the same
# time, one builds it and the others wait. When stdin ends, the script removes the unfinished folder and ends: run it
# with Supervisor. A killed script leaves DIR.new, which the next one removes.
#
#  stdout  the last line, "ready", when DIR exists
#  stderr  the reason if it could not be built
set -u
if [ "$1" = --make ]; then make=1; shift; else make=''; fi # the part that runs in a session of its own
suite=$1 dir=$2
shift 2
packages=$*
[ "$suite" = own ] && own=1 || own=''
new=$dir.new

# The URI from which this machine's apt fetches Debian, whatever suite the machine runs.
source_of_debian() {
  . /etc/os-release
  [ "$ID" = debian ] &&
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s/^$VERSION_CODENAME main //p" | head -n 1
}

fetch() {
  uri=$(source_of_debian)
  [ -n "$uri" ] || { echo "apt-get knows no source of Debian on this machine" >&2; return 1; }
  apt=$new/apt
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$new/root"
  if [ "$own" = 1 ]; then
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    cp /var/lib/dpkg/status "$apt/status" || return 1
  else
    : > "$apt/status" # as if nothing were installed, so that all dependencies are fetched
  fi
  # has the keys of all suites; otherwise the machine's trusted keys are used
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -e "$keys" ] || keys=''
  echo "deb ${keys:+[signed-by=$keys] }$uri $suite main" > "$apt/sources.list"
  # The machine's settings, for example a proxy, stay; its hooks must not run. All state is below $apt.
  cat > "$apt/apt.conf" << END
#clear APT::Update;
#clear DPkg;
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "$apt";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
END
  get="apt-get -c $apt/apt.conf -qq"
  $get update && $get --yes --no-install-recommends --download-only install $packages || return 1
  for each in "$apt"/archives/*.deb; do dpkg-deb --extract "$each" "$new/root" || return 1; done
  rm -rf "$apt" "$new/root/usr/share"
}

# Writes an executable sh script; the arguments are its lines.
script() {
  file=$1
  shift
  rm -f "$file"
  { echo '#!/bin/sh'; printf '%s\n' 'here=${0%/*}' "$@"; } > "$file" && chmod 755 "$file"
}

# Programs of another libc are run by its own loader. Paths are relative, so that DIR can be moved.
wrap() {
  [ "$own" = '' ] || return 0
  loader=$(ls "$new"/root/usr/lib/*/ld-linux*.so.* | head -n 1)
  [ -n "$loader" ] || { echo "it has no loader of programs" >&2; return 1; }
  mkdir "$new/bin"
  case $packages in
    rabbitmq-server) wrap_rabbitmq ;;
    *) for each in $packages; do wrap_server "$each" || return 1; done ;;
  esac
}

# A server whose program has the name of its package.
wrap_server() {
  libraries='$here'/$(realpath --relative-to "$new/bin" "${loader%/*}")
  script "$new/bin/$1" "exec \"$libraries/${loader##*/}\" --library-path \"$libraries\" --argv0 $1 \"\$here/../root/usr/bin/$1\" \"\$@\""
  "$new/bin/$1" --version # verifies that it runs
}

wrap_rabbitmq() {
  erlang=$new/root/usr/lib/erlang
  erts=$(cd "$erlang"/erts-*/bin && pwd) || return 1
  from_bin=../${erts#"$new"/}
  for program in "$erts"/* "$erlang"/lib/*/bin/* "$erlang"/lib/*/priv/bin/*; do
    [ -f "$program" ] && [ ! -h "$program" ] && [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
    mv "$program" "$program.elf"
    libraries='$here'/$(realpath --relative-to "${program%/*}" "${loader%/*}")
    script "$program" "exec \"$libraries/${loader##*/}\" --library-path \"$libraries\" --argv0 \"\$0\" \"\$here/${program##*/}.elf\" \"\$@\""
  done
  for each in "$new/bin" "$erts" "$erlang/bin"; do
    to=$(realpath --relative-to "$each" "$erlang")
    script "$each/erl" "ROOTDIR=\$(cd \"\$here/$to\" && pwd)" "BINDIR=\$ROOTDIR/${erts#"$erlang"/} EMU=beam PROGNAME=erl" \
      'export ROOTDIR BINDIR EMU PROGNAME' 'exec "$BINDIR/erlexec" "$@"'
  done
  for each in epmd escript; do script "$new/bin/$each" "exec \"\$here/$from_bin/$each\" \"\$@\""; done
  call=$(ls "$erlang"/lib/erl_interface-*/bin/erl_call | head -n 1)
  script "$new/bin/erl_call" "exec \"\$here/../${call#"$new"/}\" \"\$@\""
  for each in rabbitmq-server rabbitmqctl; do
    script "$new/bin/$each" 'bin=$(cd "$here" && pwd)' 'PATH=$bin:$PATH ESCRIPT_EMULATOR=$bin/erl' 'export PATH ESCRIPT_EMULATOR' \
      "exec \"\$bin/../root/usr/lib/rabbitmq/bin/$each\" \"\$@\""
  done
  version=$(ls -d "$new"/root/usr/lib/rabbitmq/lib/rabbitmq_server-*) && echo "${version##*rabbitmq_server-}" > "$new/version" &&
    "$new/bin/erl" -noinput -eval 'halt().' # verifies that it runs
}

make() {
  mkdir -p "${dir%/*}" || return 1
  exec 9> "$dir.lock" && flock 9 || return 1
  [ -d "$dir" ] && return 0
  rm -rf "$new"
  mkdir "$new" && fetch && wrap && mv "$new" "$dir"
}

if [ "$make" = 1 ]; then
  # The programs' output is shown only on failure.
  log=$(mktemp) || exit 1
  make > "$log" 2>&1 < /dev/null && code=0 || { code=1; tail -n 20 "$log" >&2; rm -rf "$new"; }
  rm -f "$log"
  exit "$code"
fi

# The reader of stdout may be gone.
trap '' PIPE
# The work runs in a session of its own, so that all of it can be killed.
setsid sh "$0" --make "$suite" "$dir" $packages > /dev/null &
work=$!
exec 3<&0
{ while read -r _; do :; done; kill -KILL "-$work"; } <&3 > /dev/null 2>&1 &
watcher=$!
wait "$work" && code=0 || code=1
kill "$watcher" 2> /dev/null
[ "$code" = 1 ] || { echo ready; exit; }
# Unless another script is building it now.
[ -d "$dir" ] || { exec 9> "$dir.lock" && flock --wait 5 9 && [ ! -d "$dir" ] && rm -rf "$new"; }
exit 1
