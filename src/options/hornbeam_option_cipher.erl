%%% A cipher suite by its OpenSSL name: the type of the option `ciphers`.
%%%
%%% Called through hornbeam_option_types. Calls ssl, which knows the names.
-module(hornbeam_option_cipher).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).

-spec check(term()) -> {ok, binary()} | hornbeam_option_types:problem().
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Name} ->
            case ssl:str_to_suite(binary_to_list(Name)) of
                {error, _} -> wrong(Given);
                _Suite -> {ok, Name}
            end;
        error ->
            wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(binary()) -> binary().
format(Name) -> Name.

-spec describe() -> iodata().
describe() -> "the OpenSSL name of a cipher suite, such as \"ECDHE-RSA-AES256-GCM-SHA384\"".
