%%% Where a mount is: a path, a host or both, as one text: "/api", "api.example.org", "*.example.org/v1".
%%%
%%% Called by: hornbeam_option_mount, hornbeam_mounts, hornbeam_reload (a place to remove). Calls: hornbeam_option_text. Pure.
%%%
%%% What begins with a name that has a dot (also "intranet.", whose dot at the end is dropped), with "*." or "[", or is localhost, is a
%%% host; all else is a path. {Host, Prefix} says it without a guess. A wildcard stands for one label, as in a certificate.
-module(hornbeam_option_place).

-export([parse/1, split/1]).
-export_type([place/0]).

%% The host in lower case, then the prefix, which has a slash at its beginning and none at its end.
-type place() :: binary().

-spec parse(term()) -> {ok, place()} | hornbeam_option_types:problem().
parse({Host, Prefix} = Given) ->
    case {hornbeam_option_text:to_text(Host), hornbeam_option_text:to_text(Prefix)} of
        {{ok, <<>>}, {ok, P}} -> parse(P);
        {{ok, H}, {ok, P}} -> with_host(H, P, Given);
        _ -> bad_prefix(Given)
    end;
parse(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            [First | Rest] = binary:split(Text, <<"/">>),
            case is_host(First) of
                true -> with_host(First, iolist_to_binary(Rest), Given);
                false -> path(Text, Given)
            end;
        error ->
            bad_prefix(Given)
    end.

is_host(<<"[", _/binary>>) -> true;
is_host(First) -> binary:match(First, [<<".">>, <<"*">>]) =/= nomatch orelse string:lowercase(First) =:= <<"localhost">>.

with_host(Host0, Prefix, Given) ->
    Host = string:lowercase(string:trim(Host0, trailing, ".")),
    Name = "(\\*\\.)?[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,63})*",
    case byte_size(Host) =< 255 andalso re:run(Host, ["^(", Name, "|\\[[0-9a-f:.]{2,45}\\])$"], [dollar_endonly]) of
        {match, _} -> on_host(Host, slashless(Prefix), Given);
        _ -> {error, "has a host that must be a name, such as \"api.example.org\" or \"*.example.org\", without a port", Given}
    end.

on_host(Host, <<>>, _Given) -> {ok, Host};
on_host(Host, Prefix, Given) ->
    case path(Prefix, Given) of
        {ok, Path} -> {ok, <<Host/binary, Path/binary>>};
        Problem -> Problem
    end.

path(Text, Given) ->
    Prefix = <<"/", (slashless(Text))/binary>>,
    case re:run(Prefix, "^(/[^/?#\\s[:cntrl:]]+)+$", [unicode, dollar_endonly]) of
        {match, _} -> {ok, Prefix};
        nomatch -> bad_prefix(Given)
    end.

slashless(Text) -> string:trim(Text, both, "/").

bad_prefix(Given) -> {error, "has a prefix that must be a path below \"/\", such as \"/api\"", Given}.

%% @doc The host, or `any', and the prefix.
-spec split(place()) -> {any | binary(), Prefix :: binary()}.
split(<<$/, _/binary>> = Prefix) -> {any, Prefix};
split(<<>>) -> {any, <<>>};
split(Place) ->
    case binary:split(Place, <<"/">>) of
        [Host, Path] -> {Host, <<"/", Path/binary>>};
        [Host] -> {Host, <<>>}
    end.
