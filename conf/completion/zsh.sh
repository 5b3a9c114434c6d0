_sendas()
{
    local -a before next
    before=("${(@Q)words[1,CURRENT-1]}")
    set -- "${(@)before/#\~\//$HOME/}"
    next=("${(@f)$(emulate sh; _sendas_next "$@" </dev/null)}")
    case $next[1] in
        +file) _files ;;
        +directory) _files -/ ;;
        '') return 1 ;;
        *) next=("${(@)${(@)next//:/\\:}/$'\t'/:}") && _describe 'sendas' next ;;
    esac
}
_sendas "$@"
