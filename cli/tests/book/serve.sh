# serve NAME ARGUMENTS…: starts `quatrain serve` on a free port, waits until it serves, and sets $NAME to its address and
# $NAME_PID to its process.
serve() {
    name=$1
    shift
    mkfifo "$name.serving"
    quatrain serve "$@" --port 0 >"$name.serving" &
    eval "${name}_PID=$!"
    if ! read -r line <"$name.serving"; then echo "$name does not serve"; exit 1; fi
    rm "$name.serving"
    echo "$line"
    line=${line% with *}
    eval "$name=${line##* }"
}
