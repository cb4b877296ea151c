"""Shell scripts that run on hosts. POSIX sh; values come as arguments, never by pasting text together."""

from __future__ import annotations

REAL_FOLDER = 90  # the target is a folder where a link is needed
NO_SCRIPT = 91

# $1 folder, $2 text of the release file, $3 a word of the run's own
BEGIN = r"""
set -e
mkdir -p "$1"
printf '%s' "$2" > "$1/.git_release.$3"
mv -f "$1/.git_release.$3" "$1/.git_release"
"""

# $1 release, $2 text of the release file, $3 word, $4 shared folder, $5 where deploy scripts are kept,
# $6… shared paths.
# The deploy script is removed after it ran, but going back to this release needs it again.
FINISH = r"""
set -e
release=$1 text=$2 word=$3 shared=$4 scripts=$5; shift 5
for path in "$@"; do
  wish=$path path=${path%/}
  mkdir -p "$(dirname "$shared/$path")" "$(dirname "$release/$path")"
  if [ ! -e "$shared/$path" ] && [ ! -L "$shared/$path" ]; then
    case ${wish##*/} in
      *.*) echo "There is no $shared/$path yet: put the file there." >&2 ;;
      *) mkdir "$shared/$path" ;;
    esac
  fi
  if [ -L "$release/$path" ]; then rm -f "$release/$path"; fi
  ln -s "$shared/$path" "$release/$path"
done
if [ -n "$scripts" ] && [ -f "$release/deploy.sh" ]; then
  mkdir -p "$scripts"
  cp "$release/deploy.sh" "$scripts/$(basename "$release").sh"
fi
printf '%s' "$text" > "$release/.git_release.$word"
mv -f "$release/.git_release.$word" "$release/.git_release"
"""

# $1 folder. KiB that are free there.
FREE = r"""df -Pk "$1" | tail -n 1 | awk '{print $(NF-2)}'"""

# $1 release, $2 target, $3 name of the link before it takes the target's place in one move
SWITCH = (
    r"""
set -e
[ -d "$1" ] || { echo "$1 is gone." >&2; exit 1; }
if [ -e "$2" ] && [ ! -L "$2" ]; then exit """
    + str(REAL_FOLDER)
    + r"""; fi
rm -f "$3"
ln -s "$1" "$3"
mv -T "$3" "$2"
"""
)

# $1 target, $2 script, $3 "remove" or empty, $4 a kept copy to use where the script is not there, $5… its arguments
RUN = (
    r"""
cd "$1" || exit 1
script=$2 remove=$3 kept=$4; shift 4
if [ ! -f "./$script" ] && [ -n "$kept" ] && [ -f "$kept" ]; then cp "$kept" "./$script" || exit 1; fi
[ -f "./$script" ] || exit """
    + str(NO_SCRIPT)
    + r"""
chmod u+x "./$script" 2>/dev/null
"./$script" "$@"
status=$?
if [ -n "$remove" ]; then rm -f "./$script"; fi
exit "$status"
"""
)

# $1 folder of the releases, $2 word, $3… releases that may go. What any link beside points to stays in any case.
PRUNE = r"""
releases=$1 word=$2; shift 2
number=0
for folder in "$@"; do
  case $folder in "$releases"/*) ;; *) continue ;; esac
  real=$(cd -P "$folder" 2>/dev/null && pwd) || continue
  live=
  for link in "$(dirname "$releases")"/* "$(dirname "$releases")"/.*; do
    if [ -L "$link" ] && [ "$(cd -P "$link" 2>/dev/null && pwd)" = "$real" ]; then live=yes; fi
  done
  [ -z "$live" ] || continue
  number=$((number + 1))
  # Out of sight first: a release that is half deleted must not be offered to go back to.
  mv "$folder" "$releases/.trash-$word-$number" && echo "Deleting $folder"
  rm -f "$releases/.deploy/$(basename "$folder").sh"
done
rm -rf "$releases"/.trash-*
"""

# $1 mark of the run, $2 name of the link it may have left, $3 releases folder, $4 its unfinished release (or empty).
# First TERM, then KILL to all that carries the mark, except this script itself.
CLEAN_UP = r"""
mark=$1 link=$2 releases=$3 release=$4
marked() {
  for file in /proc/[0-9]*/environ; do
    pid=${file#/proc/}; pid=${pid%/environ}
    if [ "$pid" != $$ ] && tr '\0' '\n' < "$file" 2>/dev/null | grep -qxF "DEPLOYPANEL_RUN=$mark"; then echo "$pid"; fi
  done 2>/dev/null
}
for signal in TERM KILL; do
  for pid in $(marked); do kill -$signal "$pid" 2>/dev/null && echo "$signal to process $pid"; done
  tries=0
  while [ "$tries" -lt 10 ] && [ -n "$(marked)" ]; do tries=$((tries + 1)); sleep 0.2 || sleep 1; done
done
if [ -n "$link" ] && [ -L "$link" ]; then rm -f "$link" && echo "Removed $link"; fi
case $release in
  "$releases"/*)
    real=$(cd -P "$release" 2>/dev/null && pwd) || exit 0
    if [ "$(tail -n 1 "$release/.git_release" 2>/dev/null)" != "deployment in progress" ]; then exit 0; fi
    for one in "$(dirname "$releases")"/* "$(dirname "$releases")"/.*; do
      if [ -L "$one" ] && [ "$(cd -P "$one" 2>/dev/null && pwd)" = "$real" ]; then exit 0; fi
    done
    mv "$release" "$releases/.trash-lost-$$" && rm -rf "$releases/.trash-lost-$$" && echo "Removed $release" ;;
esac
"""
