# What may stand next on a command line of sendas(8).  It is asked of sendas itself, of its help texts and its lists, and so
# follows the program.  In POSIX's shell, as bash and zsh both read it; make install puts it into the file of each.

# $1: the program; then the words behind it, without the one that is being typed.  Prints one word a line, with a tab and
# its description where there is one; or +file, or +directory.
_sendas_next()
{
    local program="$1" file='' n=$(($# - 1)) word='' help='' usage='' form='' places=''
    shift
    while [ "$n" -gt 0 ]; do # -c FILE may stand anywhere: take it out
        word=$1 n=$((n - 1))
        shift
        if [ "$word" != -c ]; then
            set -- "$@" "$word"
        elif [ "$n" -eq 0 ]; then
            echo +file
            return
        else
            file=$1 n=$((n - 1))
            shift
        fi
    done
    if [ $# -eq 0 ]; then
        "$program" --help 2>/dev/null | awk '/^  [a-z-]/ { name = $1; sub(/^ *[^ ]+ +([A-Z]+ +)?/, ""); print name "\t" $0 }'
        return
    fi
    # "key new DOMAIN [--type rsa|ed25519] | list": the action, if there are some, then what stands behind it.
    help=$("$program" "$1" --help 2>/dev/null)
    usage=$(printf '%s\n' "$help" | awk '/^$/ { exit } { printf "%s ", $0 }' |
        sed 's/  */ /g; s/ $//; s/^usage: sendas [a-z]* *//')
    case $usage in
        '')
            return
            ;;
        [a-z]*)
            if [ $# -eq 1 ]; then
                printf '%s\n' "$usage" | awk -F ' [|] ' '{ for (i = 1; i <= NF; i++) { split($i, w, " "); print w[1] } }'
                return
            fi
            form=$(printf '%s\n' "$usage" | awk -F ' [|] ' -v action="$2" '{ for (i = 1; i <= NF; i++) {
                split($i, w, " "); if (w[1] == action) print substr($i, length(action) + 2) } }')
            shift 2
            ;;
        *)
            form=$usage
            shift
            ;;
    esac
    places=$(_sendas_places "$form" "$@")
    printf '%s\n' "$places" | grep -v '^-' | while read -r word; do
        _sendas_values "$word" "$program" "$file" "$@"
    done
    printf '%s\n' "$help" | awk -v places="$places" '
        $1 ~ /^--/ { text = $0; sub(/^ *[^ ]+( [^ ]+)?  +/, "", text); about[$1] = text }
        END {
            about["-c"] = "the configuration"
            n = split(places, place, "\n")
            for (i = 1; i <= n; i++)
                if (place[i] ~ /^-/)
                    print place[i] "\t" about[place[i]]
        }'
}

# $1: "DOMAIN [--type rsa|ed25519]"; then the words that stand there already.  Prints what the usage line has at this place:
# the value of the option before it, or else the next argument and the options.
_sendas_places()
{
    awk 'BEGIN {
        form = rest = ARGV[1]
        while (match(rest, /--?[a-z][a-z-]*( [^][ ]+)?/)) {
            split(substr(rest, RSTART, RLENGTH), part, " ")
            rest = substr(rest, RSTART + RLENGTH)
            if (!(part[1] in takes))
                options[++n_options] = part[1]
            takes[part[1]] = part[2]
            part[2] = ""
        }
        if (!("-c" in takes))
            options[++n_options] = "-c"
        takes["-c"] = "FILE"
        gsub(/\[-[^][]*(\[[^][]*\][^][]*)*\]/, "", form)
        gsub(/[][]|\.\.\./, "", form)
        n_places = split(form, place, " ")
        next_place = 1
        for (i = 2; i < ARGC; i++) {
            if (!(ARGV[i] in takes)) {
                next_place += ARGV[i] !~ /^-/
            } else if (takes[ARGV[i]] != "" && ++i == ARGC) {
                print takes[ARGV[ARGC - 1]]
                exit
            }
        }
        if (next_place <= n_places)
            print place[next_place]
        for (i = 1; i <= n_options; i++)
            print options[i]
    }' "$@"
}

# $1: a word of the usage line; $2: the program; $3: the configuration, or ""; then the words behind command and action.
_sendas_values()
{
    local kind="$1" program="$2" file="$3" domain=''
    shift 3
    case $kind in
        FILE) echo +file ;;
        DIR) echo +directory ;;
        [a-z]*'|'*) printf '%s\n' "$kind" | tr '|' '\n' ;;
        DOMAIN | D) "$program" key list ${file:+-c "$file"} 2>/dev/null | awk 'NR > 1 && /^[^ ]/ && !seen[$1]++ { print $1 }' ;;
        SELECTOR)
            while [ $# -gt 0 ]; do
                case $1 in -*) ;; *) domain=$1 ;; esac
                shift
            done
            "$program" key list ${file:+-c "$file"} 2>/dev/null | awk -v domain="$domain" 'NR > 1 && $1 == domain { print $2 }'
            ;;
        ADDRESS) "$program" user list ${file:+-c "$file"} 2>/dev/null | awk '/^[^ ]+@/ && !seen[$1]++ { print $1 }' ;;
        ID | ID'|'*) "$program" queue list --json ${file:+-c "$file"} 2>/dev/null | grep -o '"id": *"[A-Za-z0-9]*"' |
            sed 's/.*"\(.*\)"/\1/' | head -n 500 ;;
    esac
}
