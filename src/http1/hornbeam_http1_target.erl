%%% The forms of a request's target that are no path: of a proxy's client, and of a question about the server (RFC 9112, 3.2.2 and 3.2.4).
%%%
%%% Called by: hornbeam_http1_head, with the octets between two spaces. Calls: hornbeam_authority, hornbeam_headers. Pure.
-module(hornbeam_http1_target).

-export([parse/2]).

%% @doc The authority, if the target has one, the path and the query.
-spec parse(Target :: binary(), Method :: binary()) -> {ok, binary() | undefined, Path :: binary(), Query :: binary()} | error.
parse(<<"*">>, <<"OPTIONS">>) ->
    {ok, undefined, <<"*">>, <<>>};
parse(Target, _Method) ->
    case binary:split(Target, <<"://">>) of
        [Scheme, Rest] -> absolute(hornbeam_headers:lower(Scheme), Rest);
        [_] -> error
    end.

absolute(Scheme, Rest) when Scheme =:= <<"http">>; Scheme =:= <<"https">> ->
    {Authority, Path, Query} = case binary:match(Rest, [<<"/">>, <<"?">>]) of
        nomatch -> {Rest, <<"/">>, <<>>};
        {At, 1} ->
            <<Before:At/binary, After/binary>> = Rest,
            case binary:split(After, <<"?">>) of
                [P] -> {Before, P, <<>>};
                [<<>>, Q] -> {Before, <<"/">>, Q};
                [P, Q] -> {Before, P, Q}
            end
    end,
    case Authority =/= <<>> andalso hornbeam_authority:parse(Authority) of
        {ok, _} -> {ok, Authority, Path, Query};
        _ -> error
    end;
absolute(_Scheme, _Rest) ->
    error.
