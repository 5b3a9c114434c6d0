_sendas()
{
    local line=${COMP_LINE:0:COMP_POINT} current='' next words word before
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then
        current=${words[-1]}
        unset 'words[-1]'
    fi
    next=$(_sendas_next "${words[@]/#\~\//"$HOME/"}" </dev/null | cut -f 1)
    COMPREPLY=()
    # Readline replaces what follows the last of its word breaks only.
    before=${current%"${current##*[@=:]}"}
    if [[ -z $before || $COMP_WORDBREAKS != *"${before: -1}"* ]]; then
        before=''
    fi
    case $next in
        +file) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        +directory) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        *)
            # Addresses may hold quotes, backquotes and dollar signs: compgen -W would run them, and the command line too.
            while IFS= read -r word; do
                if [[ -n $word && $word == "${current//\\/}"* ]]; then
                    printf -v word %q "${word#"${before//\\/}"}"
                    COMPREPLY+=("$word")
                fi
            done <<<"$next"
            return
            ;;
    esac
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -F _sendas sendas
