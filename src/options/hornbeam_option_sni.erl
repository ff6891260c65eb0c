%%% A certificate for a host name: the type of the option `sni`.
%%%
%%% Reads {Host, CertFile, KeyFile} and the text "HOST=CERTFILE;KEYFILE". Called through hornbeam_option_types. Calls
%%% hornbeam_option_text and hornbeam_option_file.
-module(hornbeam_option_sni).

-behaviour(hornbeam_option_types).

-export([check/1, from_table/2, anchor/2, format/1, describe/0]).
-export_type([sni/0]).

%% Host is lower-case; "*.example.org" is every name one label below example.org.
-type sni() :: {Host :: binary(), CertFile :: binary(), KeyFile :: binary()}.

-spec check(term()) -> {ok, sni()} | hornbeam_option_types:problem().
check({Host, Cert, Key} = Given) ->
    Texts = [hornbeam_option_text:to_text(Part) || Part <- [Host, Cert, Key]],
    case Texts of
        [{ok, H}, {ok, <<_, _/binary>> = C}, {ok, <<_, _/binary>> = K}] -> named(string:lowercase(H), C, K, Given);
        _ -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case binary:split(Text, [<<"=">>, <<";">>], [global]) of
                [Host, Cert, Key] -> check({Host, Cert, Key});
                _ -> wrong(Given)
            end;
        _ ->
            wrong(Given)
    end.

named(Host, Cert, Key, Given) ->
    case re:run(Host, "^(\\*\\.)?[a-z0-9-]+(\\.[a-z0-9-]+)*$", [dollar_endonly]) of
        {match, _} -> {ok, {Host, Cert, Key}};
        nomatch -> wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec from_table(#{binary() => term()}, term()) -> {term(), term(), term()} | none.
from_table(#{<<"host">> := Host, <<"certfile">> := Cert, <<"keyfile">> := Key} = Table, _Read) when map_size(Table) =:= 3 -> {Host, Cert, Key};
from_table(_Table, _Read) -> none.

-spec anchor(sni(), binary()) -> {ok, sni()} | hornbeam_option_types:problem().
anchor({Host, Cert, Key}, Base) ->
    case {hornbeam_option_file:anchor(Cert, Base), hornbeam_option_file:anchor(Key, Base)} of
        {{ok, C}, {ok, K}} -> {ok, {Host, C, K}};
        {{error, Text}, _} -> {error, Text};
        {_, {error, Text}} -> {error, Text}
    end.

-spec format(sni()) -> hornbeam_option_toml:value().
format({Host, Cert, Key}) -> {table, [{<<"host">>, Host}, {<<"certfile">>, Cert}, {<<"keyfile">>, Key}]}.

-spec describe() -> iodata().
describe() -> "{Host, CertFile, KeyFile} or \"HOST=CERTFILE;KEYFILE\"".
