%%% A user or a group of the operating system, by name or number: the type of the options `user' and `group'.
%%%
%%% Called through hornbeam_option_types. Whether it is there is asked when a server starts (hornbeam_account). Calls hornbeam_option_text.
-module(hornbeam_option_account).

-behaviour(hornbeam_option_types).

-export([check/1, describe/0, format/1]).

-spec check(term()) -> {ok, binary()} | hornbeam_option_types:problem().
check(Number) when is_integer(Number), Number >= 0 ->
    check(integer_to_binary(Number));
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case re:run(Text, "^([0-9]{1,9}|[a-zA-Z_][a-zA-Z0-9_.@-]{0,63}\\$?)$", [dollar_endonly]) of
                {match, _} -> {ok, Text};
                nomatch -> wrong(Given)
            end;
        error ->
            wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec describe() -> iodata().
describe() -> "a name or a number that the system has".

-spec format(binary()) -> binary().
format(Account) -> Account.
